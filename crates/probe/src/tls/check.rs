//! The `tls` kind: a handshake and its certificate, and nothing said after it.

use super::{Alpn, TlsClient, handshake};
use crate::net::Target;
use crate::round::{Round, Trouble};
use crate::start_tls::start_tls;
use crate::{PrepareError, Prober};
use model::check::{StartTls, TlsCheck};
use tokio::io::AsyncWriteExt;

/// A TLS check, ready to run.
pub(crate) struct TlsPlan {
    target: Target,
    start_tls: Option<StartTls>,
    client: TlsClient,
}

impl TlsPlan {
    /// Makes a check ready.
    pub(crate) fn prepare(prober: &Prober, check: &TlsCheck) -> Result<Self, PrepareError> {
        Ok(Self {
            target: Target::of(&check.target)?,
            start_tls: check.start_tls,
            client: prober.tls.client(&check.trust, &check.target.host, Alpn::None)?,
        })
    }

    /// Carries out one round.
    pub(crate) async fn run(&self, prober: &Prober, round: &mut Round) -> Result<(), Trouble> {
        let mut stream = prober.net.connect(&self.target, round).await?;
        if let Some(protocol) = self.start_tls {
            start_tls(&mut stream, protocol, round).await?;
        }
        let mut stream = handshake(&self.client, stream, round).await?;
        round.evidence.status = stream.get_ref().1.protocol_version().map(|version| {
            let version = version.as_str().unwrap_or("TLS").replace("TLSv1_", "TLS 1.");
            let suite = stream.get_ref().1.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
            format!("{version}, {}", suite.unwrap_or("unknown cipher suite"))
        });
        // Says goodbye as the protocol asks; whether it arrives is no part of the check.
        stream.get_mut().1.send_close_notify();
        let _ = stream.flush().await;
        Ok(())
    }
}
