//! Talks to the running server over its local socket: HTTP/1.1 by hyper, one
//! connection for each question.

use crate::command::Asking;
use crate::files::{self, LoadError};
use anyhow::{Context, anyhow, bail};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use tokio::net::UnixStream;

/// Bytes of an answer that are read: a page of any list is far below.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The way to the running server.
pub(crate) struct Client {
    socket: PathBuf,
}

impl Client {
    /// Finds the server's socket.
    pub(crate) fn new(asking: &Asking) -> anyhow::Result<Self> {
        if let Some(socket) = &asking.socket {
            return Ok(Self { socket: socket.clone() });
        }
        let path = &asking.path.config;
        let data = match files::load(path) {
            Ok(loaded) => loaded.node.data,
            // A wrong file does not hide the server that runs with the one before.
            Err(LoadError::Wrong(_)) => config::DATA_DEFAULT.to_owned(),
            Err(LoadError::Unreadable(error)) => {
                return Err(error.context("cannot find the server without a configuration; give --config or --socket"));
            }
        };
        Ok(Self { socket: files::socket(&files::data_directory(path, &data)) })
    }

    /// Asks for a path and reads the answer.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let response = self.send(Method::GET, path, Bytes::new()).await?;
        read(response, path).await
    }

    /// Sends a JSON body and reads the answer.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> anyhow::Result<T> {
        let response = self.send(Method::POST, path, Bytes::from(serde_json::to_vec(body)?)).await?;
        read(response, path).await
    }

    /// Opens a stream of events.
    pub(crate) async fn stream(&self, path: &str) -> anyhow::Result<Incoming> {
        let response = self.send(Method::GET, path, Bytes::new()).await?;
        if !response.status().is_success() {
            bail!("the server refuses {path}: {}", response.status());
        }
        Ok(response.into_body())
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Response<Incoming>> {
        let stream = UnixStream::connect(&self.socket).await.with_context(|| {
            format!(
                "no server answers at {}; is `mainstay serve` running with this configuration?",
                self.socket.display()
            )
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the connection, which ends with this client's process at the latest.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        Ok(sender.send_request(request).await?)
    }
}

async fn read<T: DeserializeOwned>(response: Response<Incoming>, path: &str) -> anyhow::Result<T> {
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| anyhow!("the answer to {path} broke off: {error}"))?;
    let bytes = body.to_bytes();
    if !status.is_success() {
        let said: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
        let said = said.as_ref().and_then(|said| said["error"].as_str()).map(str::to_owned);
        bail!("{}", said.unwrap_or_else(|| format!("the server answered {status} to {path}")));
    }
    serde_json::from_slice(&bytes).with_context(|| {
        format!("the answer to {path} is not what was expected; are server and command of one version?")
    })
}
