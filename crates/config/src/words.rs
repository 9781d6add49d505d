//! A command line becomes words, as a shell would split it, without a shell.
//!
//! Quotes and backslashes work; variables, globs, pipes and everything else a
//! shell does with a line have no meaning and stay text.

/// Splits a line into words. `Err` says what is wrong.
pub(crate) fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(c) = letters.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' => single(&mut letters, word.get_or_insert_default())?,
            '"' => double(&mut letters, word.get_or_insert_default())?,
            '\\' => {
                let next = letters.next().ok_or("it ends with a backslash")?;
                word.get_or_insert_default().push(next);
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn single(letters: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), &'static str> {
    for c in letters {
        match c {
            '\'' => return Ok(()),
            c => word.push(c),
        }
    }
    Err("a single quote is not closed")
}

fn double(letters: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), &'static str> {
    while let Some(c) = letters.next() {
        match c {
            '"' => return Ok(()),
            '\\' => match letters.next() {
                // POSIX shell, section 2.2.3: only these lose their backslash.
                Some(next @ ('"' | '\\' | '$' | '`')) => word.push(next),
                Some(next) => word.extend(['\\', next]),
                None => break,
            },
            c => word.push(c),
        }
    }
    Err("a double quote is not closed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_as_a_shell_does() {
        let of = |line: &str| split(line).map(|words| words.join("|"));
        assert_eq!(of("check_disk -w 10%  -p /"), Ok("check_disk|-w|10%|-p|/".into()));
        assert_eq!(of(r#"a 'b c' "d \"e\" \n" f\ g ''"#), Ok(r#"a|b c|d "e" \n|f g|"#.into()));
        assert_eq!(of("  "), Ok(String::new()));
        for wrong in ["a 'b", "a \"b", "a \\"] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }
}
