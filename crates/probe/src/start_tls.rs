//! Changing to TLS in the words of SMTP, IMAP and POP3.

use crate::lines::{Lines, send};
use crate::round::{Round, Stage, Trouble};
use crate::text::quoted;
use model::check::StartTls;
use model::limits::DIALOGUE_LINES_MAX;
use model::observation::Cause;
use tokio::net::TcpStream;

/// Speaks the words of a protocol, greeting included, until TLS may begin on
/// the same connection.
///
/// # Errors
/// `Answer` if the server refuses or does not offer TLS, `Protocol` if it says
/// something before TLS that would be taken for its first words under TLS
/// (CVE-2011-0411 was that), and whatever the connection ends with.
pub(crate) async fn start_tls(stream: &mut TcpStream, protocol: StartTls, round: &mut Round) -> Result<(), Trouble> {
    let mut lines = Lines::default();
    let mut talk = Talk { stream, lines: &mut lines, round };
    match protocol {
        StartTls::Smtp => smtp(&mut talk).await?,
        StartTls::Imap => imap(&mut talk).await?,
        StartTls::Pop3 => pop3(&mut talk).await?,
    }
    if lines.is_empty() {
        return Ok(());
    }
    let sentence = format!("{} said more than TLS may begin with after agreeing to start it", round.peer_text());
    Err(Trouble::fail(Cause::Protocol, sentence))
}

/// A connection with what is needed to talk over it.
struct Talk<'a> {
    stream: &'a mut TcpStream,
    lines: &'a mut Lines,
    round: &'a mut Round,
}

impl Talk<'_> {
    async fn line(&mut self, words: &'static str) -> Result<String, Trouble> {
        self.round.stage = Stage::Words(words);
        self.lines.next(self.stream, self.round, "starting TLS").await
    }

    async fn send(&mut self, text: &str) -> Result<(), Trouble> {
        send(self.stream, text, self.round, "starting TLS").await
    }

    /// Reads the lines of an SMTP reply; the code and all texts.
    async fn reply(&mut self, words: &'static str) -> Result<(String, Vec<String>), Trouble> {
        let mut texts = Vec::new();
        for _ in 0..DIALOGUE_LINES_MAX {
            let line = self.line(words).await?;
            let (Some(code), more) = (line.get(..3), line.get(3..4) == Some("-")) else {
                return Err(self.refused(words, &line));
            };
            texts.push(line.get(4..).unwrap_or_default().to_owned());
            if !more {
                return Ok((code.to_owned(), texts));
            }
        }
        Err(Trouble::fail(Cause::TooLarge, format!("{} does not end its {words}", self.round.peer_text())))
    }

    fn refused(&self, words: &str, line: &str) -> Trouble {
        let peer = self.round.peer_text();
        Trouble::fail(Cause::Answer, format!("{peer} cannot start TLS: its {words} is {}", quoted(line)))
    }

    async fn expect(&mut self, code: &str, words: &'static str) -> Result<Vec<String>, Trouble> {
        let (got, texts) = self.reply(words).await?;
        if got == code {
            return Ok(texts);
        }
        Err(self.refused(words, &format!("{got} {}", texts.last().map_or("", String::as_str))))
    }
}

async fn smtp(talk: &mut Talk<'_>) -> Result<(), Trouble> {
    talk.expect("220", "greeting").await?;
    talk.send("EHLO mainstay.invalid\r\n").await?;
    let offers = talk.expect("250", "answer to EHLO").await?;
    if !offers.iter().any(|offer| offer.trim().eq_ignore_ascii_case("STARTTLS")) {
        return Err(Trouble::fail(Cause::Answer, format!("{} does not offer STARTTLS", talk.round.peer_text())));
    }
    talk.send("STARTTLS\r\n").await?;
    talk.expect("220", "answer to STARTTLS").await.map(|_| ())
}

async fn imap(talk: &mut Talk<'_>) -> Result<(), Trouble> {
    let greeting = talk.line("greeting").await?;
    if !greeting.starts_with("* OK") {
        return Err(talk.refused("greeting", &greeting));
    }
    talk.send("a1 STARTTLS\r\n").await?;
    for _ in 0..DIALOGUE_LINES_MAX {
        let line = talk.line("answer to STARTTLS").await?;
        if line.starts_with("a1 OK") {
            return Ok(());
        }
        if line.starts_with("a1 ") {
            return Err(talk.refused("answer to STARTTLS", &line));
        }
    }
    Err(talk.refused("answer to STARTTLS", "without an end"))
}

async fn pop3(talk: &mut Talk<'_>) -> Result<(), Trouble> {
    let greeting = talk.line("greeting").await?;
    if !greeting.starts_with("+OK") {
        return Err(talk.refused("greeting", &greeting));
    }
    talk.send("STLS\r\n").await?;
    let answer = talk.line("answer to STLS").await?;
    if answer.starts_with("+OK") { Ok(()) } else { Err(talk.refused("answer to STLS", &answer)) }
}
