//! The PostgreSQL check: does it take connections, or what does it answer?
//!
//! Without a user the check asks what `pg_isready` asks: any answer of the
//! server but "not now" and "full" means that it takes connections, a refused
//! login included. With a user it logs in, and with a query the first column
//! of the first row is the answer.

mod limited;
mod message;
mod state;

use crate::net::{Target, io_trouble};
use crate::round::{Round, Stage, Trouble};
use crate::secret::reveal;
use crate::stream::Stream;
use crate::text::Test;
use crate::tls::{Alpn, TlsClient, handshake};
use crate::{PrepareError, Prober, whole_us};
use futures_util::{FutureExt, TryStreamExt};
use limited::{LimitReached, Limited};
use message::{Greeting, SSL_REQUEST, startup, take};
use model::check::PostgresCheck;
use model::limits::BODY_BYTES_MAX;
use model::observation::Cause;
use model::secret::Secret;
use state::{ServerError, State};
use std::error::Error;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Connection, NoTls, SimpleQueryMessage};

/// Who asks when the check names nobody. The server sees this name only in a
/// refused login, which counts as an answer.
const USER_DEFAULT: &str = "mainstay";
/// How long the server may take to say goodbye; it changes nothing any more.
const GOODBYE: Duration = Duration::from_millis(200);

/// A PostgreSQL check, ready to run.
pub(crate) struct PostgresPlan {
    target: Target,
    name: String,
    tls: Option<TlsClient>,
    login: Option<Login>,
    database: Option<String>,
    query: Option<String>,
    test: Option<Test>,
}

struct Login {
    user: String,
    password: Option<Secret>,
}

impl PostgresPlan {
    /// Makes the check ready.
    pub(crate) fn prepare(prober: &Prober, check: &PostgresCheck) -> Result<Self, PrepareError> {
        let client = |trust| prober.tls.client(trust, &check.target.host, Alpn::None);
        for (what, text) in [("the user", &check.user), ("the database", &check.database), ("the query", &check.query)]
        {
            if let Some(text) = text.as_ref().filter(|text| text.contains('\0')) {
                return Err(PrepareError::Word { what, text: text.clone(), reason: "it holds a zero byte" });
            }
        }
        if let (None, Some(query)) = (&check.user, &check.query) {
            let reason = "a query needs a user";
            return Err(PrepareError::Word { what: "the query", text: query.clone(), reason });
        }
        let target = Target::of(&check.target)?;
        Ok(Self {
            name: target.to_string(),
            target,
            tls: check.tls.as_ref().map(client).transpose()?,
            login: check.user.clone().map(|user| Login { user, password: check.password.clone() }),
            database: check.database.clone(),
            query: check.query.clone(),
            test: check.test.as_ref().map(Test::compile).transpose()?,
        })
    }

    /// Asks the server once.
    pub(crate) async fn run(&self, prober: &Prober, round: &mut Round) -> Result<(), Trouble> {
        let password = match &self.login {
            Some(Login { password: Some(password), .. }) => Some(reveal(password)?),
            Some(_) | None => None,
        };
        let mut tcp = prober.net.connect(&self.target, round).await?;
        let stream = match &self.tls {
            None => Stream::Plain(tcp),
            Some(client) => {
                self.ask_for_tls(&mut tcp, round).await?;
                Stream::Tls(handshake(client, tcp, round).await?)
            }
        };
        round.stage = Stage::Answer;
        match &self.login {
            None => self.is_ready(stream, round).await,
            Some(login) => self.log_in(stream, round, &login.user, password.as_deref()).await,
        }
    }

    async fn ask_for_tls(&self, tcp: &mut TcpStream, round: &mut Round) -> Result<(), Trouble> {
        round.stage = Stage::Words("answer to the request for TLS");
        let broken = |error| io_trouble(&error, &self.name, "asking for TLS");
        tcp.write_all(&SSL_REQUEST).await.map_err(broken)?;
        let mut answer = [0u8];
        tcp.read_exact(&mut answer).await.map_err(broken)?;
        match answer[0] {
            b'S' => Ok(()),
            b'N' => Err(Trouble::fail(Cause::Answer, format!("{} does not offer TLS", self.name))),
            // An error instead of an answer: the server refuses before TLS.
            b'E' => {
                let mut bytes = vec![b'E'];
                match self.greeting(tcp, &mut bytes, round).await? {
                    Greeting::Error(error) => Err(error.trouble(&self.name, round)),
                    Greeting::Authentication | Greeting::Other => Err(self.not_postgres()),
                }
            }
            _ => Err(self.not_postgres()),
        }
    }

    /// What `pg_isready` asks.
    async fn is_ready(&self, mut stream: Stream, round: &mut Round) -> Result<(), Trouble> {
        let database = self.database.as_deref().unwrap_or(USER_DEFAULT);
        let sent = Instant::now();
        let sending = async {
            stream.write_all(&startup(USER_DEFAULT, database)).await?;
            stream.flush().await
        };
        sending.await.map_err(|error| io_trouble(&error, &self.name, "sending the first message"))?;
        let mut bytes = Vec::new();
        let greeting = loop {
            match self.greeting(&mut stream, &mut bytes, round).await? {
                Greeting::Other => {}
                greeting @ (Greeting::Authentication | Greeting::Error(_)) => break greeting,
            }
        };
        round.phases.first_byte_us = Some(whole_us(sent.elapsed()));
        match greeting {
            Greeting::Error(error) if error.state() == State::Closed => Err(error.trouble(&self.name, round)),
            Greeting::Error(error) => {
                round.evidence.status = Some(format!("takes connections: {}", error.text()));
                Ok(())
            }
            Greeting::Authentication | Greeting::Other => {
                round.evidence.status = Some("takes connections".to_owned());
                Ok(())
            }
        }
    }

    async fn greeting<S>(&self, stream: &mut S, bytes: &mut Vec<u8>, round: &mut Round) -> Result<Greeting, Trouble>
    where
        S: AsyncReadExt + Unpin,
    {
        loop {
            match take(bytes) {
                Ok(Some(greeting)) => return Ok(greeting),
                Ok(None) => {}
                Err(message::NotPostgres) => {
                    round.keep_excerpt(bytes);
                    return Err(self.not_postgres());
                }
            }
            match stream.read_buf(bytes).await {
                Ok(0) => {
                    let sentence = format!("{} closed the connection before it answered", self.name);
                    return Err(Trouble::fail(Cause::ClosedEarly, sentence));
                }
                Ok(read) => round.received_bytes += read as u64,
                Err(error) => return Err(io_trouble(&error, &self.name, "reading the answer")),
            }
        }
    }

    async fn log_in(
        &self,
        stream: Stream,
        round: &mut Round,
        user: &str,
        password: Option<&str>,
    ) -> Result<(), Trouble> {
        let mut config = tokio_postgres::Config::new();
        config.user(user).ssl_mode(SslMode::Disable).application_name("mainstay");
        config.dbname(self.database.as_deref().unwrap_or(user));
        if let Some(password) = password {
            config.password(password);
        }
        round.stage = Stage::Words("end of the login");
        let sent = Instant::now();
        let limited = Limited::new(stream, BODY_BYTES_MAX);
        let connected = config.connect_raw(limited, NoTls).await;
        let (client, connection) = connected.map_err(|error| self.trouble(&error, round))?;
        round.phases.first_byte_us = Some(whole_us(sent.elapsed()));
        round.evidence.status = Some("logged in".to_owned());
        let mut open = Some(connection);
        let answered = match &self.query {
            None => Ok(()),
            Some(query) => {
                round.stage = Stage::Words("answer to the query");
                let asked = Instant::now();
                let first = first_value_over(&client, query, &mut open).await;
                round.phases.transfer_us = Some(whole_us(asked.elapsed()));
                first.map_err(|error| self.trouble(&error, round)).and_then(|first| self.judge(round, first))
            }
        };
        drop(client);
        if let Some(connection) = open {
            let _ = tokio::time::timeout(GOODBYE, connection).await;
        }
        answered
    }

    fn judge(&self, round: &mut Round, first: First) -> Result<(), Trouble> {
        let fail = |sentence| Err(Trouble::fail(Cause::Answer, sentence));
        match first {
            First::Closed => {
                let sentence = format!("{} closed the connection under the query", self.name);
                Err(Trouble::fail(Cause::ClosedEarly, sentence))
            }
            First::NoRow => fail(format!("the query returned no row from {}", self.name)),
            First::Null if self.test.is_none() => Ok(()),
            First::Null => fail(format!("the query returned NULL from {}", self.name)),
            First::Value(text) => {
                round.keep_excerpt(text.as_bytes());
                match self.test.as_ref().and_then(|test| test.complaint(&text)) {
                    None => Ok(()),
                    Some(complaint) => fail(format!("the answer of {} to the query {complaint}", self.name)),
                }
            }
        }
    }

    /// What an error of the client library means.
    fn trouble(&self, error: &tokio_postgres::Error, round: &mut Round) -> Trouble {
        if let Some(db) = error.as_db_error() {
            let error = ServerError { code: db.code().code().to_owned(), message: db.message().to_owned() };
            return error.trouble(&self.name, round);
        }
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(io) = cause.downcast_ref::<std::io::Error>() {
                if io.get_ref().is_some_and(|inner| inner.is::<LimitReached>()) {
                    let limit = BODY_BYTES_MAX / 1024;
                    let sentence = format!("the answer of {} is larger than {limit} KiB", self.name);
                    return Trouble::fail(Cause::TooLarge, sentence);
                }
                return io_trouble(io, &self.name, "talking");
            }
            source = cause.source();
        }
        if error.is_closed() {
            return Trouble::fail(Cause::ClosedEarly, format!("{} closed the connection", self.name));
        }
        let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        if reason.contains("password missing") {
            return Trouble::fail(Cause::Login, format!("{} asks for a password, and the check has none", self.name));
        }
        Trouble::fail(Cause::Protocol, format!("the dialogue with {} failed: {reason}", self.name))
    }

    fn not_postgres(&self) -> Trouble {
        Trouble::fail(Cause::Protocol, format!("{} does not speak the PostgreSQL protocol", self.name))
    }
}

/// The first column of the first row.
enum First {
    /// The server closed the connection instead of answering.
    Closed,
    NoRow,
    Null,
    Value(String),
}

/// Runs a query while driving the connection, which is taken away when it ends.
async fn first_value_over(
    client: &Client,
    query: &str,
    open: &mut Option<Connection<Limited, NoTlsStream>>,
) -> Result<First, tokio_postgres::Error> {
    let Some(connection) = open else { return Ok(First::Closed) };
    let asking = first_value(client, query);
    tokio::pin!(asking);
    let ended = tokio::select! {
        biased;
        answer = &mut asking => return answer,
        ended = connection => ended,
    };
    *open = None;
    // The server's own words, if it sent any, say more than how the connection ended.
    match (asking.now_or_never(), ended) {
        (Some(Ok(first)), _) => Ok(first),
        (Some(Err(error)), _) if error.as_db_error().is_some() => Err(error),
        (Some(Err(_)) | None, Err(error)) | (Some(Err(error)), Ok(())) => Err(error),
        (None, Ok(())) => Ok(First::Closed),
    }
}

/// Runs a query to its end and keeps the first value. The end is waited for,
/// because an error may come after the first row.
async fn first_value(client: &Client, query: &str) -> Result<First, tokio_postgres::Error> {
    let mut first = First::NoRow;
    let messages = client.simple_query_raw(query).await?;
    tokio::pin!(messages);
    while let Some(message) = messages.try_next().await? {
        if let (First::NoRow, SimpleQueryMessage::Row(row)) = (&first, message) {
            first = match row.try_get(0) {
                Ok(Some(text)) => First::Value(text.to_owned()),
                Ok(None) | Err(_) => First::Null,
            };
        }
    }
    Ok(first)
}
