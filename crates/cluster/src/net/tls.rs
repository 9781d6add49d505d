//! TLS as nodes use it: version 1.3 only, certificates on both sides, nothing
//! remembered between connections.
//!
//! **There is no resumption**: a resumed connection shows no certificate, and so
//! would outlive a removal. No server name is sent either; it would tell whoever
//! listens which node is meant.

use super::failure::DialError;
use super::key::NodeKey;
use super::verify::{MemberVerifier, TicketVerifier, Trust, VerifyError, name_of};
use crate::types::NodeId;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{AlertDescription, CertificateError, ClientConfig, ServerConfig};
use rustls_pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use tokio::sync::watch;

/// What both sides agree on inside the handshake; a change that an older
/// version could not take part in would be another name.
const PROTOCOL: &[u8] = b"mst/1";

/// What a peer that knows of our removal says.
pub(crate) const REMOVED: &str = "this node was removed from the cluster";

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}

/// For connections that others make to us.
pub(super) fn acceptor(key: &NodeKey, trust: watch::Receiver<Arc<Trust>>) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3")
        .with_client_cert_verifier(Arc::new(MemberVerifier(trust)))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key.certified())));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Arc::new(config)
}

/// For connections that we make to members.
pub(super) fn dialer(key: &NodeKey, trust: watch::Receiver<Arc<Trust>>) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(MemberVerifier(trust)))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key.certified())));
    without_traces(&mut config);
    Arc::new(config)
}

/// For the connection of a node that has a ticket and nothing else.
pub(super) fn stranger(verifier: Arc<TicketVerifier>) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    without_traces(&mut config);
    Arc::new(config)
}

fn without_traces(config: &mut ClientConfig) {
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.enable_sni = false;
    config.resumption = Resumption::disabled();
}

/// The name that a member's certificate has to show.
pub(super) fn server_name(node: NodeId) -> ServerName<'static> {
    ServerName::try_from(name_of(node)).expect("digits and letters make a name")
}

/// Whether the other side agreed to speak as nodes do.
pub(super) fn is_ours(protocol: Option<&[u8]>) -> bool {
    protocol == Some(PROTOCOL)
}

/// What a failed read, write or handshake of a dialler means.
pub(super) fn diagnose(error: io::Error, address: SocketAddr) -> DialError {
    let refused_here = |why: String| DialError::RefusedHere { address, why };
    let refused_there = |why: &str| DialError::RefusedThere { address, why: why.to_owned() };
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(other))) => {
            match other.0.downcast_ref::<VerifyError>() {
                Some(reason) => refused_here(reason.to_string()),
                None => DialError::Handshake { address, source: error },
            }
        }
        Some(rustls::Error::AlertReceived(alert)) => match alert {
            AlertDescription::CertificateRevoked => refused_there(REMOVED),
            AlertDescription::AccessDenied => refused_there("it knows this node by another key"),
            AlertDescription::UnknownCA => refused_there("it does not trust the authority of this node's certificate"),
            AlertDescription::CertificateExpired => {
                refused_there("this node's certificate is not valid at its time; compare the clocks of both machines")
            }
            AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
                refused_there("it does not accept this node's certificate")
            }
            AlertDescription::NoApplicationProtocol => DialError::Foreign { address },
            _ => DialError::Handshake { address, source: error },
        },
        Some(_) | None => DialError::Handshake { address, source: error },
    }
}
