//! Replies of a mail server: one or more lines with the same three-digit code.

/// A reply, complete or growing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Reply {
    /// The code, 200 to 599; 0 before the first line.
    pub code: u16,
    /// The texts after the code, in order.
    pub texts: Vec<String>,
}

/// What a line does to a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// More lines follow.
    More,
    /// That was the last line.
    Complete,
    /// The line is not part of a reply (RFC 5321 section 4.2).
    Broken,
}

/// What senders of mail do when they get a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// They go on.
    Good,
    /// They keep the mail and try again later (4xx).
    Later,
    /// They return the mail at once (5xx).
    Never,
}

impl Reply {
    /// Adds a line.
    pub(super) fn add(&mut self, line: &str) -> Progress {
        let Some((digits, rest)) = line.split_at_checked(3) else { return Progress::Broken };
        let code = match digits.parse::<u16>() {
            Ok(code @ 200..=599) if digits.bytes().all(|byte| byte.is_ascii_digit()) => code,
            Ok(_) | Err(_) => return Progress::Broken,
        };
        if self.code != 0 && self.code != code {
            return Progress::Broken;
        }
        let (progress, text) = match rest.split_at_checked(1) {
            Some(("-", text)) => (Progress::More, text),
            Some((" ", text)) => (Progress::Complete, text),
            None => (Progress::Complete, ""),
            Some(_) => return Progress::Broken,
        };
        self.code = code;
        self.texts.push(text.to_owned());
        progress
    }

    /// What a sender would do now.
    pub(super) fn meaning(&self) -> Meaning {
        match self.code {
            400..=499 => Meaning::Later,
            500.. => Meaning::Never,
            _ => Meaning::Good,
        }
    }

    /// Whether an answer to EHLO offers an extension.
    pub(super) fn offers(&self, keyword: &str) -> bool {
        let first_word = |text: &String| text.split_whitespace().next().unwrap_or_default().to_owned();
        self.texts.iter().skip(1).any(|text| first_word(text).eq_ignore_ascii_case(keyword))
    }

    /// The reply on one line: code and all texts.
    pub(super) fn text(&self) -> String {
        format!("{} {}", self.code, self.texts.join(" ").trim()).trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(lines: &[&str]) -> (Reply, Progress) {
        let mut reply = Reply::default();
        let mut progress = Progress::More;
        for line in lines {
            assert_eq!(progress, Progress::More, "a line after the end");
            progress = reply.add(line);
        }
        (reply, progress)
    }

    #[test]
    fn a_reply_ends_with_the_line_without_a_hyphen() {
        let (reply, progress) = read(&["250-mx.example.org", "250-SIZE 1000", "250 STARTTLS"]);
        assert_eq!((reply.code, progress), (250, Progress::Complete));
        assert!(reply.offers("starttls") && reply.offers("SIZE") && !reply.offers("mx.example.org"));
        assert_eq!(reply.text(), "250 mx.example.org SIZE 1000 STARTTLS");
        assert_eq!(read(&["220"]).0.text(), "220");
    }

    #[test]
    fn a_line_that_is_no_reply_is_refused() {
        for lines in [&["HTTP/1.1 400 Bad Request"][..], &[""], &["25"], &["199 x"], &["600 x"], &["250x"], &["+25 x"]]
        {
            assert_eq!(read(lines).1, Progress::Broken, "{lines:?}");
        }
        assert_eq!(read(&["250-a", "550 b"]).1, Progress::Broken, "the code must not change");
    }

    #[test]
    fn the_first_digit_says_what_senders_do() {
        for (line, meaning) in [
            ("220 hi", Meaning::Good),
            ("354 go", Meaning::Good),
            ("421 busy", Meaning::Later),
            ("554 no", Meaning::Never),
        ] {
            assert_eq!(read(&[line]).0.meaning(), meaning);
        }
    }

    proptest! {
        #[test]
        fn no_line_breaks_the_reader(lines in proptest::collection::vec("\\PC{0,20}|[2-5][0-9]{2}[- ]?\\PC{0,10}", 0..10)) {
            let mut reply = Reply::default();
            for line in &lines {
                let _ = reply.add(line);
            }
            let _ = (reply.meaning(), reply.text(), reply.offers("STARTTLS"));
        }
    }
}
