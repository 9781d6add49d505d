//! A certificate authority of one test, and what it signs.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use std::path::{Path, PathBuf};

/// An authority that nobody else trusts.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// Files of a server's certificate.
#[derive(Debug, Clone)]
pub struct ServerCertificate {
    /// Certificate chain, PEM.
    pub chain: PathBuf,
    /// Private key, PEM.
    pub key: PathBuf,
    /// The authority's own certificate, PEM: what a check must trust.
    pub authority: PathBuf,
}

impl Authority {
    /// Makes a new one.
    ///
    /// # Panics
    /// Never; its parameters are constants.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are legal names");
        params.distinguished_name.push(rcgen::DnType::CommonName, "Mainstay test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key can be made");
        Self { issuer: CertifiedIssuer::self_signed(params, key).expect("legal parameters") }
    }

    /// Signs a certificate for names or addresses and writes the files.
    ///
    /// # Panics
    /// The directory cannot be written or a name is not legal.
    pub fn server(&self, directory: &Path, names: &[&str]) -> ServerCertificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::new(names).expect("legal names");
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).expect("legal parameters");
        let write = |name: &str, text: String| {
            let path = directory.join(name);
            std::fs::write(&path, text).expect("the directory is ours");
            path
        };
        ServerCertificate {
            chain: write("server.pem", certificate.pem()),
            key: write("server.key", key.serialize_pem()),
            authority: write("authority.pem", self.issuer.pem()),
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}
