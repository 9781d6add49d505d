//! The other end of a stranger's visit: one request of a node that has a
//! ticket and no certificate yet.

use super::dial::{secure, targets};
use super::failure::{CallError, DialError};
use super::frame::{self, FrameError, Kind};
use super::limits::{FRAME_BYTES_MAX, STRANGER_BYTES_MAX};
use super::tls;
use super::verify::TicketVerifier;
use model::member::Digest;
use rustls_pki_types::{CertificateDer, ServerName};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

/// Asks any node of a cluster, known by the digest of its authority's
/// certificate (SHA-256 of the DER), without a certificate of our own. Returns
/// the answer, and the authority's certificate, which the node showed.
///
/// The node sees nothing of the request before it has shown a chain that ends in
/// that authority. The chain's dates count, by this machine's clock.
///
/// # Errors
/// As for a call of a member. [`CallError::Broken`] after a request that was sent
/// is also what a node says to one it does not want to answer.
pub(crate) async fn ask_stranger(
    address: &str,
    authority: Digest,
    kind: u16,
    body: Vec<u8>,
    timeout: Duration,
) -> Result<(Vec<u8>, CertificateDer<'static>), CallError> {
    if body.len() > STRANGER_BYTES_MAX {
        return Err(CallError::TooLarge { bytes: body.len() });
    }
    let deadline = Instant::now() + timeout;
    let verifier = Arc::new(TicketVerifier(authority));
    let connecting = timeout_at(deadline, connect(address, &verifier)).await;
    let (mut stream, at) = match connecting {
        Ok(connected) => connected.map_err(|error| CallError::from(Arc::new(error)))?,
        Err(_) => return Err(CallError::TimedOut { is_sent: false }),
    };
    let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let authority = verifier.authority_in(shown).expect("the verifier found it").clone().into_owned();
    match timeout_at(deadline, ask(&mut stream, kind, &body)).await {
        Ok(Ok((Kind::Result, answer))) => Ok((answer, authority)),
        Ok(Ok((Kind::Failure, why))) => Err(CallError::Answered(String::from_utf8_lossy(&why).into_owned())),
        Ok(Err(error)) => {
            tracing::debug!(%at, error = &error as &dyn std::error::Error, "a node did not answer");
            Err(CallError::Broken { is_sent: true })
        }
        Err(_) => Err(CallError::TimedOut { is_sent: true }),
    }
}

async fn connect(
    address: &str,
    verifier: &Arc<TicketVerifier>,
) -> Result<(TlsStream<TcpStream>, SocketAddr), DialError> {
    let mut last = None;
    for at in targets(address, None).await? {
        // The name is not sent, and any node of the cluster will do.
        let anybody = ServerName::IpAddress(at.ip().into());
        match secure(tls::stranger(Arc::clone(verifier)), anybody, at).await {
            Ok(stream) => return Ok((stream, at)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("a name stands for an address"))
}

async fn ask(stream: &mut TlsStream<TcpStream>, kind: u16, body: &[u8]) -> Result<(Kind, Vec<u8>), FrameError> {
    frame::write(stream, 0, kind, body).await?;
    stream.flush().await?;
    let (head, answer) = frame::read(stream, FRAME_BYTES_MAX).await?;
    let kind = Kind::of(head.kind).ok_or(FrameError::Unknown { kind: head.kind })?;
    Ok((kind, answer))
}
