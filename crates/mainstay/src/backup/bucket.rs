//! Backups in a bucket of an S3-compatible store, through `object_store`.
//!
//! Credentials, region and endpoint come from the environment, under the names
//! that every other tool for such stores reads (`AWS_ACCESS_KEY_ID` and so on),
//! so that no file of ours holds them. Archives are written by threads, which
//! wait here for what the store answers.

use super::target::Kept;
use anyhow::{Context, bail};
use futures_util::{Stream, StreamExt};
use hyper::body::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ClientConfigKey, ObjectStore, ObjectStoreExt, RetryConfig};
use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;

/// Bytes of one part of an upload. A store takes at most 10,000 parts, so this
/// bounds a backup to 160 GB; two of them are in memory at a time.
const PART_BYTES: usize = 16 << 20;
const PARTS_AT_A_TIME: usize = 2;
/// How long a request that fails is repeated.
const RETRIED_FOR: Duration = Duration::from_secs(60);
/// Longest time of one request; a part over a slow line takes a while.
const REQUEST_TIMEOUT: &str = "300 seconds";
const CONNECT_TIMEOUT: &str = "10 seconds";

/// Characters of what a store says that are passed on.
const SENTENCE_LENGTH_MAX: usize = 300;

/// A prefix of a bucket.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    name: String,
    prefix: Path,
}

/// A backup on its way into a bucket.
pub(crate) struct Upload {
    runtime: Handle,
    writer: Option<BufWriter>,
    place: String,
    bytes: u64,
}

impl Bucket {
    /// Reads what stands behind `s3://`.
    ///
    /// # Errors
    /// It names no bucket, or no legal prefix.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let (name, prefix) = text.split_once('/').unwrap_or((text, ""));
        if name.is_empty() {
            bail!("s3://{text} names no bucket; write s3://bucket/prefix");
        }
        let prefix = Path::parse(prefix).with_context(|| format!("s3://{text} has no legal prefix"))?;
        Ok(Self { name: name.to_owned(), prefix })
    }

    /// Begins an upload. Nothing is to be seen in the bucket before it is finished.
    pub(crate) fn upload(&self, name: &str) -> anyhow::Result<Upload> {
        let (store, key) = (self.store()?, self.prefix.clone().join(name));
        let place = format!("s3://{}/{key}", self.name);
        let writer = BufWriter::with_capacity(Arc::new(store), key, PART_BYTES).with_max_concurrency(PARTS_AT_A_TIME);
        Ok(Upload { runtime: runtime()?, writer: Some(writer), place, bytes: 0 })
    }

    /// Names of what lies directly below the prefix.
    pub(crate) fn list(&self) -> anyhow::Result<Vec<String>> {
        let store = self.store()?;
        let prefix = (!self.prefix.as_ref().is_empty()).then_some(&self.prefix);
        let listed = runtime()?.block_on(store.list_with_delimiter(prefix));
        let listed = listed.map_err(told).with_context(|| format!("cannot list the backups in {self}"))?;
        Ok(listed.objects.iter().filter_map(|object| object.location.filename().map(str::to_owned)).collect())
    }

    /// Removes one of them.
    pub(crate) fn remove(&self, name: &str) -> anyhow::Result<()> {
        let store = self.store()?;
        let removed = runtime()?.block_on(store.delete(&self.prefix.clone().join(name)));
        removed.map_err(told).with_context(|| format!("cannot remove the old backup {name} in {self}"))
    }

    /// Reads the object that the whole path names.
    pub(crate) fn download(&self) -> anyhow::Result<Box<dyn Read>> {
        let (store, runtime) = (self.store()?, runtime()?);
        let got = runtime.block_on(store.get(&self.prefix));
        let got = got.map_err(told).with_context(|| format!("cannot read the backup {self}"))?;
        Ok(Box::new(Download { runtime, stream: got.into_stream(), rest: Bytes::new() }))
    }

    fn store(&self) -> anyhow::Result<AmazonS3> {
        let builder = AmazonS3Builder::from_env().with_bucket_name(&self.name);
        // Whoever writes http:// for the endpoint means it.
        let endpoints = [AmazonS3ConfigKey::Endpoint, AmazonS3ConfigKey::S3Endpoint];
        let endpoints = endpoints.iter().filter_map(|key| builder.get_config_value(key));
        let is_http = endpoints.into_iter().any(|endpoint| endpoint.starts_with("http://"));
        let builder = if is_http { builder.with_allow_http(true) } else { builder };
        let built = builder
            .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), REQUEST_TIMEOUT)
            .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::ConnectTimeout), CONNECT_TIMEOUT)
            .with_retry(RetryConfig { retry_timeout: RETRIED_FOR, ..RetryConfig::default() })
            .build();
        built.map_err(told).with_context(|| format!("cannot use {self}; are the variables AWS_… set for this process?"))
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.name, self.prefix)
    }
}

impl Upload {
    /// Completes the upload.
    ///
    /// # Errors
    /// The store did not take all of it.
    pub(crate) fn finish(mut self) -> anyhow::Result<Kept> {
        let place = std::mem::take(&mut self.place);
        if let Some(mut writer) = self.writer.take() {
            let finished = self.runtime.block_on(writer.shutdown());
            finished.map_err(in_short).with_context(|| format!("cannot finish the upload to {place}"))?;
        }
        Ok(Kept { place, bytes: self.bytes })
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let writer = self.writer.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        let written = self.runtime.block_on(writer.write(bytes)).map_err(in_short)?;
        self.bytes += written as u64;
        Ok(written)
    }

    /// Parts are sent when they are full; only the end completes them.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload {
    /// Parts of an upload that never ends are paid for and not seen.
    fn drop(&mut self) {
        if let Some(mut writer) = self.writer.take()
            && let Err(error) = self.runtime.block_on(writer.abort())
        {
            tracing::warn!(place = self.place, %error, "what was uploaded of a backup cannot be removed");
        }
    }
}

/// An object on its way here.
struct Download<S> {
    runtime: Handle,
    stream: S,
    rest: Bytes,
}

impl<S: Stream<Item = object_store::Result<Bytes>> + Unpin> Read for Download<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                Some(chunk) => self.rest = chunk.map_err(told).map_err(io::Error::other)?,
                None => return Ok(0),
            }
        }
        let length = self.rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&self.rest.split_to(length));
        Ok(length)
    }
}

/// What the store told us, in one sentence: the library's own errors repeat a
/// page of XML at every level.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
struct Told(String);

fn told(error: object_store::Error) -> Told {
    Told(sentence(&error))
}

/// The writer wraps the store's errors.
fn in_short(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), Told(sentence(&error)))
}

fn sentence(error: &(dyn std::error::Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let text = deepest.to_string();
    let between = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once(&format!("</{name}>")).map(|(found, _)| found.to_owned())
    };
    if let Some(code) = between("Code") {
        return format!("the store answers {code}: {}", between("Message").unwrap_or_default());
    }
    text.lines().next().unwrap_or_default().chars().take(SENTENCE_LENGTH_MAX).collect()
}

/// The runtime that waits for the network. There is one wherever a backup is made or read.
fn runtime() -> anyhow::Result<Handle> {
    Handle::try_current().context("cannot use the network here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_store_becomes_one_sentence() {
        let xml = "Server returned 403: <?xml?>\n<Error><Code>SignatureDoesNotMatch</Code><Message>Check your key.</Message></Error>";
        let error = object_store::Error::Generic { store: "S3", source: io::Error::other(xml).into() };
        assert_eq!(told(error), Told("the store answers SignatureDoesNotMatch: Check your key.".to_owned()));
        let error = object_store::Error::Generic { store: "S3", source: "refused\nby a wall".into() };
        assert_eq!(in_short(io::Error::other(error)).to_string(), "refused");
    }

    #[test]
    fn a_place_in_a_bucket_is_shown_as_it_was_written() {
        for (text, shown) in [("b", "s3://b/"), ("b/p/q", "s3://b/p/q"), ("b/p/", "s3://b/p")] {
            assert_eq!(Bucket::parse(text).map(|bucket| bucket.to_string()).ok().as_deref(), Some(shown));
        }
    }
}
