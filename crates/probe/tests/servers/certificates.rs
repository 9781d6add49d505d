//! An authority and a certificate signed by it, as files.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Paths of PEM files.
pub(crate) struct Certificates {
    /// The authority's certificate.
    pub(crate) authority: PathBuf,
    /// The server's certificate.
    pub(crate) chain: PathBuf,
    /// The server's key.
    pub(crate) key: PathBuf,
}

/// Writes an authority and a certificate for `name` and 127.0.0.1 into a directory.
pub(crate) fn create(directory: &Path, name: &str) -> Certificates {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "Test authority");
    let authority_certificate = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let mut server = CertificateParams::new(vec![name.to_owned(), "127.0.0.1".to_owned()]).unwrap();
    server.distinguished_name.push(rcgen::DnType::CommonName, name);
    let certificate = server.signed_by(&key, &issuer).unwrap();
    let paths = Certificates {
        authority: super::write(directory, "authority.pem", &authority_certificate.pem()),
        chain: super::write(directory, "chain.pem", &certificate.pem()),
        key: super::write(directory, "key.pem", &key.serialize_pem()),
    };
    std::fs::set_permissions(&paths.key, std::fs::Permissions::from_mode(0o600)).unwrap();
    paths
}
