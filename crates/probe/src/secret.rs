//! The values of secrets, asked for only by the hand that needs them.

use crate::round::Trouble;
use model::secret::Secret;
use std::io::Read;

/// Bytes of a secret: the longest tokens people use stay below this, and a
/// file given by mistake is not read to its end.
const SECRET_BYTES_MAX: u64 = 16 << 10;

/// Returns the value of a secret; of a file the first line. Files are read at
/// every use, so that a changed password counts at once.
///
/// # Errors
/// `Own` if the file cannot be read or holds nothing that can be sent.
pub(crate) fn reveal(secret: &Secret) -> Result<String, Trouble> {
    let path = match secret {
        Secret::Inline(value) => return Ok(value.clone()),
        Secret::File(path) => path,
    };
    let cannot = |why: &dyn std::fmt::Display| Trouble::own(format!("cannot use the secret in {path}: {why}"));
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| cannot(&error))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        Some(_) | None => Err(cannot(&"its first line is empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_file_is_the_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "hunter2\r\nrest\n").unwrap();
        let secret = Secret::File(path.display().to_string());
        assert_eq!(reveal(&secret), Ok("hunter2".to_owned()));
        std::fs::write(&path, "\n").unwrap();
        assert!(reveal(&secret).is_err());
        assert!(reveal(&Secret::File("/nonexistent/x".into())).is_err());
    }
}
