//! Checks that speak TCP, TLS, ICMP, DNS, SMTP and SSH.

use super::Reader;
use super::section::{At, Section};
use crate::mistake::{Code, Draft};
use model::check::{
    DialogueStep, DnsCheck, IcmpCheck, RecordType, SmtpCheck, SmtpTls, SshCheck, StartTls, TcpCheck, TextTest,
    TlsCheck, Trust,
};

/// Steps of a dialogue; each may wait, and all share one timeout.
const DIALOGUE_STEPS_MAX: usize = 50;
/// TCP port of SMTP with TLS from the first byte, RFC 8314.
const SMTPS_PORT: u16 = 465;

impl Reader {
    /// Reads the keys of a tcp check.
    pub(super) fn tcp(&mut self, section: &Section<'_, '_>, expect: Option<&Section<'_, '_>>) -> Option<TcpCheck> {
        let target = section.at("tcp").and_then(|at| self.host_port(at, None));
        let tls = self.tls_option(section, expect);
        // What is trusted and how many days must be left holds for STARTTLS in a dialogue as well.
        let trust = match &tls {
            Some(trust) => trust.clone(),
            None => self.trust(None, expect),
        };
        let mut dialogue = Vec::new();
        for at in section.items("dialogue", self) {
            dialogue.extend(self.step(at, &trust));
        }
        if dialogue.len() > DIALOGUE_STEPS_MAX
            && let Some(at) = section.at("dialogue")
        {
            self.wrong(at, Code::OutOfRange, format!("a dialogue of more than {DIALOGUE_STEPS_MAX} steps"));
        }
        dialogue.extend(self.short_dialogue(section, expect));
        // Nobody starts TLS inside TLS, so the options are those of the step.
        let is_started_later = dialogue.iter().any(|step| matches!(step, DialogueStep::StartTls(..)));
        let tls = tls.filter(|_| !is_started_later);
        Some(TcpCheck { target: target?, tls, dialogue })
    }

    /// `expect.banner`, `send` and `expect.answer`, in this order.
    fn short_dialogue(&mut self, section: &Section<'_, '_>, expect: Option<&Section<'_, '_>>) -> Vec<DialogueStep> {
        let line = |reader: &mut Self, name| expect.and_then(|e| e.at(name)).and_then(|at| reader.text(at));
        let (banner, answer) = (line(self, "banner"), line(self, "answer"));
        let send = section.at("send").and_then(|at| self.text(at));
        if let Some(at) = section.at("dialogue")
            && (banner.is_some() || answer.is_some() || send.is_some())
        {
            let draft =
                Draft::new(Code::Conflict, "\"dialogue\" excludes \"send\", \"expect.banner\" and \"expect.answer\"")
                    .help("write all steps in the dialogue");
            self.notes.add(at.node.place, at.path, draft);
        }
        if let (Some(at), None) = (expect.and_then(|expect| expect.at("answer")), &send) {
            let draft = Draft::new(Code::Conflict, "\"answer\" needs \"send\": nothing is sent that could be answered")
                .help("use `banner` for a line that the server sends by itself");
            self.notes.add(at.node.place, at.path, draft);
        }
        let mut steps = Vec::new();
        steps.extend(banner.map(DialogueStep::Expect));
        steps.extend(send.map(DialogueStep::Send));
        steps.extend(answer.map(DialogueStep::Expect));
        steps
    }

    fn step(&mut self, at: At<'_, '_>, trust: &Trust) -> Option<DialogueStep> {
        let section = self.part(at)?;
        if section.present(&["send", "expect", "starttls"]).len() > 1 {
            let draft = Draft::new(Code::Conflict, "a step of a dialogue does one thing, this one does several")
                .help("begin a new step with \"- \" for each");
            self.notes.add(section.place, section.path, draft);
            return None;
        }
        if section.is_empty() {
            self.wrong(at, Code::MissingKey, "a step of a dialogue does nothing");
        }
        if let Some(at) = section.at("send") {
            return self.text(at).map(DialogueStep::Send);
        }
        if let Some(at) = section.at("expect") {
            return self.text(at).map(DialogueStep::Expect);
        }
        let protocol = section.at("starttls").and_then(|at| self.starttls(at))?;
        Some(DialogueStep::StartTls(protocol, trust.clone()))
    }

    fn starttls(&mut self, at: At<'_, '_>) -> Option<StartTls> {
        Some(match self.choice(at)? {
            "imap" => StartTls::Imap,
            "pop3" => StartTls::Pop3,
            _ => StartTls::Smtp,
        })
    }

    /// Reads the keys of an icmp check.
    pub(super) fn icmp(&mut self, section: &Section<'_, '_>) -> Option<IcmpCheck> {
        let host = section.at("icmp").and_then(|at| self.text(at));
        let count = section.at("count").and_then(|at| self.integer(at)).unwrap_or(1);
        Some(IcmpCheck { host: host?, count: u8::try_from(count).expect("the table allows at most 20") })
    }

    /// Reads the keys of a dns check.
    pub(super) fn dns(&mut self, section: &Section<'_, '_>, expect: Option<&Section<'_, '_>>) -> Option<DnsCheck> {
        let name = section.at("dns").and_then(|at| self.text(at));
        let type_name = section.at("type").and_then(|at| self.choice(at)).unwrap_or("A");
        let record_type =
            RecordType::ALL.into_iter().find(|kind| kind.name() == type_name).expect("the table lists the same types");
        let server = section.at("server").and_then(|at| self.host_port(at, None));
        let mut check = DnsCheck {
            name: String::new(),
            record_type,
            server,
            response_code: "NOERROR".to_owned(),
            answers: Vec::new(),
            tests: Vec::new(),
        };
        if let Some(expect) = expect {
            if let Some(code) = expect.at("code").and_then(|at| self.choice(at)) {
                check.response_code = code.to_owned();
            }
            check.answers = expect.items("answers", self).into_iter().filter_map(|at| self.text(at)).collect();
            for at in expect.items("contains", self) {
                check.tests.extend(self.text(at).map(TextTest::Contains));
            }
            for at in expect.items("matches", self) {
                check.tests.extend(self.text(at).map(TextTest::Matches));
            }
        }
        check.name = name?;
        Some(check)
    }

    /// Reads the keys of a tls check.
    pub(super) fn tls_check(
        &mut self,
        section: &Section<'_, '_>,
        expect: Option<&Section<'_, '_>>,
    ) -> Option<TlsCheck> {
        let target = section.at("tls").and_then(|at| self.host_port(at, None));
        let start_tls = section.at("starttls").and_then(|at| self.starttls(at));
        let trust = self.trust(Some(section), expect);
        Some(TlsCheck { target: target?, start_tls, trust })
    }

    /// Reads the keys of an smtp check.
    pub(super) fn smtp(&mut self, section: &Section<'_, '_>, expect: Option<&Section<'_, '_>>) -> Option<SmtpCheck> {
        let tls = match section.at("tls").and_then(|at| self.choice(at)) {
            Some("none") => SmtpTls::None,
            Some("starttls") => SmtpTls::StartTls,
            Some("implicit") => SmtpTls::Implicit,
            Some(_) | None => SmtpTls::Opportunistic,
        };
        let port = (tls == SmtpTls::Implicit).then_some(SMTPS_PORT);
        let target = section.at("smtp").and_then(|at| self.host_port(at, port));
        let mut trust = self.trust(Some(section), expect);
        // Between mail servers TLS without a policy verifies nothing (RFC 7435),
        // so a self-signed certificate there is no fault.
        if tls == SmtpTls::Opportunistic && !section.has("verify") {
            trust.verify = false;
        }
        let envelope = section.at("envelope").and_then(|at| self.part(at)).and_then(|envelope| {
            let from = envelope.at("from").and_then(|at| self.text(at));
            from.zip(envelope.at("to").and_then(|at| self.text(at)))
        });
        Some(SmtpCheck { target: target?, tls, trust, envelope })
    }

    /// Reads the keys of an ssh check.
    pub(super) fn ssh(&mut self, section: &Section<'_, '_>, expect: Option<&Section<'_, '_>>) -> Option<SshCheck> {
        let target = section.at("ssh").and_then(|at| self.host_port(at, None));
        let banner = expect.and_then(|expect| expect.at("banner")).and_then(|at| self.text_test(at));
        let host_key = expect.and_then(|expect| expect.at("host_key")).and_then(|at| self.text(at));
        Some(SshCheck { target: target?, banner, host_key })
    }
}
