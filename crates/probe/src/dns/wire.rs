//! DNS messages: the query we send, and what an answer says.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RecordType as WireType};
use model::check::RecordType;
use std::net::IpAddr;

/// Bytes of an answer over UDP that we ask for: what fits every network
/// without being cut into fragments (the value of DNS Flag Day 2020).
pub(super) const UDP_BYTES_MAX: u16 = 1232;
const HEADER_BYTES: usize = 12;
/// Third byte of the header: "this is an answer", and "it is cut short".
const ANSWER_BIT: u8 = 0x80;
const TRUNCATED_BIT: u8 = 0x02;

/// A question, with its bytes made once.
#[derive(Debug, Clone)]
pub(super) struct Question {
    name: Name,
    record_type: WireType,
    bytes: Vec<u8>,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The response code's mnemonic, as in `NXDOMAIN`.
    pub response_code: String,
    /// The records of the type asked for, in presentation format.
    pub records: Vec<String>,
    /// All records of the answer, one on each line, for people.
    pub shown: String,
}

/// What some bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading {
    /// The answer.
    Answer(Answer),
    /// The beginning of an answer that is too long for UDP.
    Truncated,
    /// Nothing that answers our question: somebody else's, or forged.
    Foreign,
    /// An answer to our question that cannot be read.
    Broken,
}

impl Question {
    /// Makes a question. An address as name of a PTR question is turned into
    /// the name that stands for it. `None` if the name is not one.
    pub(super) fn new(name: &str, record_type: RecordType) -> Option<Self> {
        let mut name = match (record_type, name.parse::<IpAddr>()) {
            (RecordType::Ptr, Ok(address)) => Name::from(address),
            _ => Name::from_utf8(name).ok()?,
        };
        name.set_fqdn(true);
        let record_type = wire_type(record_type);
        let mut message = Message::new(0, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(name.clone(), record_type));
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_BYTES_MAX);
        message.set_edns(edns);
        Some(Self { bytes: message.to_vec().ok()?, name, record_type })
    }

    /// The question's bytes under an id.
    pub(super) fn bytes(&self, id: u16) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        bytes[..2].copy_from_slice(&id.to_be_bytes());
        bytes
    }

    /// Reads what came back.
    pub(super) fn read(&self, id: u16, bytes: &[u8]) -> Reading {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return Reading::Foreign };
        if header[..2] != id.to_be_bytes() || header[2] & ANSWER_BIT == 0 {
            return Reading::Foreign;
        }
        if header[2] & TRUNCATED_BIT != 0 {
            return Reading::Truncated;
        }
        let Ok(message) = Message::from_vec(bytes) else { return Reading::Broken };
        // A server that refuses may leave the question out.
        let is_ours = |query: &Query| query.name == self.name && query.query_type == self.record_type;
        if !message.queries.is_empty() && !message.queries.iter().any(is_ours) {
            return Reading::Foreign;
        }
        let of_type = message.answers.iter().filter(|record| record.record_type() == self.record_type);
        let shown: Vec<String> = message
            .answers
            .iter()
            .map(|record| format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data))
            .collect();
        Reading::Answer(Answer {
            response_code: code_name(message.metadata.response_code),
            records: of_type.map(|record| record.data.to_string()).collect(),
            shown: shown.join("\n"),
        })
    }
}

/// Brings a record's text into the form in which two that mean the same are
/// equal: addresses in canonical form, names in lower case without the final
/// dot, texts without quotation marks.
pub(super) fn canonical(record_type: RecordType, text: &str) -> String {
    let text = text.trim();
    match record_type {
        RecordType::A | RecordType::Aaaa => {
            text.parse::<IpAddr>().map_or_else(|_| text.to_owned(), |address| address.to_string())
        }
        RecordType::Txt => unquoted(text),
        RecordType::Caa => text.replace('"', "").to_ascii_lowercase(),
        RecordType::Cname | RecordType::Mx | RecordType::Ns | RecordType::Ptr | RecordType::Soa | RecordType::Srv => {
            let words = text.split_whitespace().map(|word| word.strip_suffix('.').unwrap_or(word).to_ascii_lowercase());
            words.collect::<Vec<_>>().join(" ")
        }
    }
}

/// A text as zone files have it, in one or several quoted pieces, as one text.
fn unquoted(text: &str) -> String {
    if !(text.len() >= 2 && text.starts_with('"') && text.ends_with('"')) {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut is_inside = false;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => is_inside = !is_inside,
            '\\' if is_inside => out.extend(characters.next()),
            c if is_inside => out.push(c),
            _ => {}
        }
    }
    out
}

fn wire_type(record_type: RecordType) -> WireType {
    match record_type {
        RecordType::A => WireType::A,
        RecordType::Aaaa => WireType::AAAA,
        RecordType::Caa => WireType::CAA,
        RecordType::Cname => WireType::CNAME,
        RecordType::Mx => WireType::MX,
        RecordType::Ns => WireType::NS,
        RecordType::Ptr => WireType::PTR,
        RecordType::Soa => WireType::SOA,
        RecordType::Srv => WireType::SRV,
        RecordType::Txt => WireType::TXT,
    }
}

/// The mnemonics of the IANA registry, as `dig` prints them.
fn code_name(code: ResponseCode) -> String {
    let name = match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::YXDomain => "YXDOMAIN",
        ResponseCode::YXRRSet => "YXRRSET",
        ResponseCode::NXRRSet => "NXRRSET",
        ResponseCode::NotAuth => "NOTAUTH",
        ResponseCode::NotZone => "NOTZONE",
        ResponseCode::BADVERS => "BADVERS",
        ResponseCode::BADCOOKIE => "BADCOOKIE",
        other => return format!("RCODE{}", u16::from(other)),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::rdata::{A, CNAME};
    use hickory_proto::rr::{RData, Record};
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn answer_to(name: &str, change: impl FnOnce(&mut Message)) -> Vec<u8> {
        let mut message = Message::new(7, MessageType::Response, OpCode::Query);
        message.add_query(Query::query(Name::from_utf8(name).unwrap(), WireType::A));
        change(&mut message);
        message.to_vec().unwrap()
    }

    #[test]
    fn an_answer_gives_the_records_of_the_type_asked_for() {
        let question = Question::new("www.example.org", RecordType::A).unwrap();
        let bytes = answer_to("WWW.example.org.", |message| {
            let host = Name::from_utf8("host.example.org.").unwrap();
            let www = Name::from_utf8("www.example.org.").unwrap();
            message.add_answer(Record::from_rdata(www, 60, RData::CNAME(CNAME(host.clone()))));
            message.add_answer(Record::from_rdata(host, 60, RData::A(A(Ipv4Addr::new(192, 0, 2, 1)))));
        });
        let Reading::Answer(answer) = question.read(7, &bytes) else { panic!("it is an answer") };
        assert_eq!(answer.response_code, "NOERROR");
        assert_eq!(answer.records, ["192.0.2.1"]);
        assert_eq!(answer.shown, "www.example.org. 60 CNAME host.example.org.\nhost.example.org. 60 A 192.0.2.1");
    }

    #[test]
    fn an_answer_to_another_question_is_not_taken() {
        let question = Question::new("www.example.org", RecordType::A).unwrap();
        let other = answer_to("evil.example.org.", |_| ());
        assert_eq!(question.read(7, &other), Reading::Foreign);
        let right = answer_to("www.example.org.", |_| ());
        assert_eq!(question.read(8, &right), Reading::Foreign, "another id");
        assert_eq!(question.read(7, &question.bytes(7)), Reading::Foreign, "our own question");
        let cut = answer_to("www.example.org.", |message| message.metadata.truncation = true);
        assert_eq!(question.read(7, &cut), Reading::Truncated);
    }

    #[test]
    fn records_that_mean_the_same_are_equal() {
        for (record_type, written, answered) in [
            (RecordType::Mx, "10 Mail.Example.org", "10 mail.example.org."),
            (RecordType::Aaaa, "2001:DB8:0::1", "2001:db8::1"),
            (RecordType::Txt, "\"v=spf1 \" \"-all\"", "v=spf1 -all"),
            (RecordType::Txt, "v=spf1 -all", "v=spf1 -all"),
            (RecordType::Caa, "0 issue letsencrypt.org", "0 issue \"letsencrypt.org\""),
        ] {
            assert_eq!(canonical(record_type, written), canonical(record_type, answered));
        }
    }

    #[test]
    fn an_address_can_be_asked_about_by_ptr() {
        let question = Question::new("192.0.2.1", RecordType::Ptr).unwrap();
        assert_eq!(question.name.to_string(), "1.2.0.192.in-addr.arpa.");
        assert!(Question::new("a..b", RecordType::A).is_none());
    }

    proptest! {
        #[test]
        fn no_answer_breaks_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let question = Question::new("www.example.org", RecordType::A).unwrap();
            let _ = question.read(7, &bytes);
            let mut ours = answer_to("www.example.org.", |_| ());
            ours[6..12].copy_from_slice(&[0, 2, 0, 0, 0, 0]);
            ours.extend_from_slice(&bytes);
            let _ = question.read(7, &ours);
        }

        #[test]
        fn no_text_breaks_the_canonical_form(text in "\\PC{0,40}|\"[ a\\\\\"]{0,9}\"") {
            for record_type in RecordType::ALL {
                let once = canonical(record_type, &text);
                let _ = canonical(record_type, &once);
            }
        }
    }
}
