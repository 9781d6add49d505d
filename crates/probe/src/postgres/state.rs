//! What a PostgreSQL error says about the server, decided once for both ways of asking.

use crate::round::{Round, Trouble};
use model::observation::Cause;

/// An error as the server sent it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ServerError {
    /// The five characters of its SQLSTATE; empty if it sent none.
    pub code: String,
    /// Its message.
    pub message: String,
}

/// What an error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The server does not serve now: it starts, stops, or is full.
    Closed,
    /// It serves, but not this user or database.
    Login,
    /// It serves, and answered this with an error.
    Answer,
}

impl ServerError {
    /// What the error means. Codes from appendix A of PostgreSQL's manual.
    pub(super) fn state(&self) -> State {
        match self.code.as_str() {
            // Administrator's shutdown, crash, cannot connect now; class 53 are
            // exhausted resources, 53300 too many connections; 58 and XX are the
            // server's own system and internal errors.
            "57P01" | "57P02" | "57P03" | "57P05" => State::Closed,
            code if ["53", "58", "XX"].iter().any(|class| code.starts_with(class)) => State::Closed,
            code if code.starts_with("28") || code == "3D000" => State::Login,
            _ => State::Answer,
        }
    }

    /// The trouble this error is when something was asked of the server.
    pub(super) fn trouble(&self, name: &str, round: &mut Round) -> Trouble {
        round.evidence.status = Some(self.text());
        let message = self.text();
        match self.state() {
            State::Closed => Trouble::fail(Cause::Status, format!("{name} takes no connections: {message}")),
            State::Login => Trouble::fail(Cause::Login, format!("{name} refuses the login: {message}")),
            State::Answer => Trouble::fail(Cause::Answer, format!("{name} answered with an error: {message}")),
        }
    }

    /// Message and code for people.
    pub(super) fn text(&self) -> String {
        match self.code.as_str() {
            "" => self.message.clone(),
            code => format!("{} ({code})", self.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_tells_a_closed_server_from_a_refused_login() {
        let state = |code: &str| ServerError { code: code.into(), message: String::new() }.state();
        for (code, expected) in [
            ("57P03", State::Closed),
            ("53300", State::Closed),
            ("28P01", State::Login),
            ("28000", State::Login),
            ("3D000", State::Login),
            ("42P01", State::Answer),
            ("", State::Answer),
        ] {
            assert_eq!(state(code), expected, "{code}");
        }
    }
}
