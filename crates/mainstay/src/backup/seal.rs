//! Compresses what is written, encrypts it if asked, and undoes both.
//!
//! Standard formats throughout (zstd inside age), so that `age --decrypt` and
//! `zstd --decompress` open a backup without Mainstay. What is encrypted is
//! authenticated too: a changed byte is refused, not decompressed.

use age::secrecy::SecretString;
use age::stream::StreamWriter;
use anyhow::Context;
use std::io::{self, BufReader, Cursor, Read, Write};
use std::iter;
use std::path::Path;

/// What every age file begins with (<https://age-encryption.org/v1>).
const AGE_MAGIC: &[u8] = b"age-encryption.org/v1";
/// What every zstd frame begins with (RFC 8878, section 3.1.1).
const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// zstd's own default: the next levels take twice the time for a twentieth of the size.
const LEVEL: i32 = 3;
/// Work to try a passphrase, as a power of two: 64 MiB and a fifth of a second.
/// More memory than that a small server may not have to spare each night.
const WORK_FACTOR: u8 = 16;
/// Most work that is accepted when reading: 1 GiB, more than age's own programs ask for.
const WORK_FACTOR_MAX: u8 = 20;
const BUFFER_BYTES: usize = 256 << 10;

/// For whom a backup is encrypted.
#[derive(Clone, Default)]
pub(crate) enum Encryption {
    /// Anybody can read it.
    #[default]
    None,
    /// Whoever knows a passphrase.
    Passphrase(SecretString),
    /// Whoever has the key to one of these.
    Recipients(Vec<age::x25519::Recipient>),
}

impl Encryption {
    /// The name in JSON.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Passphrase(_) => "passphrase",
            Self::Recipients(_) => "recipients",
        }
    }

    /// Reads recipients as age writes them.
    ///
    /// # Errors
    /// The one that is none.
    pub(crate) fn for_recipients(texts: &[String]) -> Result<Self, String> {
        let parse = |text: &String| text.parse().map_err(|_| text.clone());
        texts.iter().map(parse).collect::<Result<_, _>>().map(Self::Recipients)
    }
}

/// What opens an encrypted backup.
#[derive(Default)]
pub(crate) struct Keys {
    pub(crate) passphrase: Option<SecretString>,
    pub(crate) identities: Vec<Box<dyn age::Identity>>,
}

impl Keys {
    /// With a passphrase.
    pub(crate) fn with_passphrase(self, passphrase: String) -> Self {
        Self { passphrase: Some(SecretString::from(passphrase)), ..self }
    }

    /// With the secret keys that a file holds, as age writes them.
    ///
    /// # Errors
    /// It cannot be read, or holds none.
    pub(crate) fn with_identities(mut self, path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let file =
            age::IdentityFile::from_file(name.clone()).with_context(|| format!("cannot read the keys in {name}"))?;
        let found = file.into_identities().with_context(|| format!("{name} holds no keys that can be used"))?;
        self.identities.extend(found.into_iter().map(|identity| identity as Box<dyn age::Identity>));
        Ok(self)
    }
}

/// Why a file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnsealError {
    #[error("it is not a backup of Mainstay")]
    Foreign,
    #[error("it is encrypted with a passphrase; name the file that holds it with --passphrase-file")]
    NeedsPassphrase,
    #[error("it is encrypted for a key; name the file that holds the key with --identity-file")]
    NeedsIdentity,
    #[error("the passphrase is not the one it was encrypted with")]
    WrongPassphrase,
    #[error("none of the keys is one that it was encrypted for")]
    WrongIdentity,
    #[error("it asks for more work to try a passphrase (2^{0}) than any backup of Mainstay does")]
    TooMuchWork(u8),
    #[error("its head is damaged")]
    Damaged,
    #[error("it cannot be read")]
    Io(#[source] io::Error),
}

/// Writes compressed, and encrypted if asked.
pub(crate) struct Sealing<W: Write>(zstd::Encoder<'static, Outer<W>>);

enum Outer<W: Write> {
    Plain(W),
    Encrypted(StreamWriter<W>),
}

impl<W: Write> Sealing<W> {
    /// Begins; writes the head of the encryption.
    pub(crate) fn new(out: W, encryption: &Encryption) -> io::Result<Self> {
        let outer = match encryption {
            Encryption::None => Outer::Plain(out),
            Encryption::Passphrase(passphrase) => {
                let mut recipient = age::scrypt::Recipient::new(passphrase.clone());
                recipient.set_work_factor(WORK_FACTOR);
                Outer::Encrypted(encrypted(out, iter::once(&recipient as _))?)
            }
            Encryption::Recipients(recipients) => {
                Outer::Encrypted(encrypted(out, recipients.iter().map(|recipient| recipient as _))?)
            }
        };
        let mut encoder = zstd::Encoder::new(outer, LEVEL)?;
        encoder.include_checksum(true)?;
        Ok(Self(encoder))
    }

    /// Ends it and gives back what it was written to, which is not flushed yet.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self.0.finish()? {
            Outer::Plain(out) => Ok(out),
            Outer::Encrypted(stream) => stream.finish(),
        }
    }
}

fn encrypted<'a, W: Write>(
    out: W,
    recipients: impl Iterator<Item = &'a dyn age::Recipient>,
) -> io::Result<StreamWriter<W>> {
    age::Encryptor::with_recipients(recipients).map_err(io::Error::other)?.wrap_output(out)
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write> Write for Outer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Encrypted(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Encrypted(out) => out.flush(),
        }
    }
}

/// Opens what [`Sealing`] wrote, and says how it was encrypted.
pub(crate) fn unseal<'a>(
    mut source: impl Read + 'a,
    keys: &Keys,
) -> Result<(Box<dyn Read + 'a>, &'static str), UnsealError> {
    let mut head = Vec::with_capacity(AGE_MAGIC.len());
    source.by_ref().take(AGE_MAGIC.len() as u64).read_to_end(&mut head).map_err(UnsealError::Io)?;
    let is_encrypted = head == AGE_MAGIC;
    if !is_encrypted && !head.starts_with(ZSTD_MAGIC) {
        return Err(UnsealError::Foreign);
    }
    let whole = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(head).chain(source));
    if !is_encrypted {
        return Ok((decompress(whole)?, "none"));
    }
    let decryptor = age::Decryptor::new_buffered(whole).map_err(damaged)?;
    if decryptor.is_scrypt() {
        let passphrase = keys.passphrase.clone().ok_or(UnsealError::NeedsPassphrase)?;
        let mut identity = age::scrypt::Identity::new(passphrase);
        identity.set_max_work_factor(WORK_FACTOR_MAX);
        let opened = decryptor.decrypt(iter::once(&identity as _));
        return Ok((decompress(opened.map_err(|error| refused(error, UnsealError::WrongPassphrase))?)?, "passphrase"));
    }
    if keys.identities.is_empty() {
        return Err(UnsealError::NeedsIdentity);
    }
    let opened = decryptor.decrypt(keys.identities.iter().map(|identity| identity.as_ref() as _));
    Ok((decompress(opened.map_err(|error| refused(error, UnsealError::WrongIdentity))?)?, "recipients"))
}

fn decompress<'a>(source: impl Read + 'a) -> Result<Box<dyn Read + 'a>, UnsealError> {
    Ok(Box::new(zstd::Decoder::new(source).map_err(UnsealError::Io)?))
}

fn refused(error: age::DecryptError, wrong_key: UnsealError) -> UnsealError {
    match error {
        age::DecryptError::NoMatchingKeys
        | age::DecryptError::KeyDecryptionFailed
        | age::DecryptError::DecryptionFailed => wrong_key,
        other => damaged(other),
    }
}

fn damaged(error: age::DecryptError) -> UnsealError {
    match error {
        age::DecryptError::ExcessiveWork { required, .. } => UnsealError::TooMuchWork(required),
        age::DecryptError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => UnsealError::Io(error),
        _ => UnsealError::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"what was acknowledged, what was acknowledged";

    fn sealed(encryption: &Encryption) -> Vec<u8> {
        let mut sealing = Sealing::new(Vec::new(), encryption).expect("memory takes everything");
        sealing.write_all(TEXT).expect("memory takes everything");
        sealing.finish().expect("memory takes everything")
    }

    fn opened(bytes: &[u8], keys: &Keys) -> Result<Vec<u8>, UnsealError> {
        let (mut reader, _) = unseal(bytes, keys)?;
        let mut text = Vec::new();
        reader.read_to_end(&mut text).map_err(UnsealError::Io)?;
        Ok(text)
    }

    fn passphrase(text: &str) -> SecretString {
        SecretString::from(text.to_owned())
    }

    #[test]
    fn what_was_sealed_is_read_again_and_only_with_the_right_key() {
        let (key, other) = (age::x25519::Identity::generate(), age::x25519::Identity::generate());
        let none = Keys::default();
        let with = |text: &str| Keys { passphrase: Some(passphrase(text)), ..Keys::default() };
        let having = |key: &age::x25519::Identity| Keys { identities: vec![Box::new(key.clone())], ..Keys::default() };

        assert_eq!(opened(&sealed(&Encryption::None), &none).expect("nothing to know"), TEXT);

        let by_passphrase = sealed(&Encryption::Passphrase(passphrase("open")));
        assert_eq!(opened(&by_passphrase, &with("open")).expect("the passphrase"), TEXT);
        assert!(matches!(opened(&by_passphrase, &with("shut")), Err(UnsealError::WrongPassphrase)));
        assert!(matches!(opened(&by_passphrase, &none), Err(UnsealError::NeedsPassphrase)));

        let recipients = Encryption::for_recipients(&[key.to_public().to_string()]).expect("a recipient");
        let by_key = sealed(&recipients);
        assert_eq!(opened(&by_key, &having(&key)).expect("the key"), TEXT);
        assert!(matches!(opened(&by_key, &having(&other)), Err(UnsealError::WrongIdentity)));
        assert!(matches!(opened(&by_key, &with("open")), Err(UnsealError::NeedsIdentity)));
    }

    #[test]
    fn what_is_something_else_is_refused_as_such() {
        for bytes in [&b""[..], b"%PDF-1.7", b"age", &[0x28, 0xb5]] {
            assert!(matches!(opened(bytes, &Keys::default()), Err(UnsealError::Foreign)), "{bytes:?}");
        }
        assert_eq!(Encryption::for_recipients(&["age1x".to_owned()]).err().as_deref(), Some("age1x"));
    }

    #[test]
    fn every_changed_byte_of_an_encrypted_one_is_refused() {
        let key = age::x25519::Identity::generate();
        let keys = Keys { identities: vec![Box::new(key.clone())], ..Keys::default() };
        let whole = sealed(&Encryption::Recipients(vec![key.to_public()]));
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            opened(&bytes, &keys).expect_err("a changed byte");
        }
        for length in 0..whole.len() {
            opened(&whole[..length], &keys).expect_err("a cut file");
        }
    }
}
