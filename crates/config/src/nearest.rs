//! "Did you mean …?": the known name nearest to a misspelt one.

/// Longer words are not compared: nothing is called like that.
const LENGTH_MAX: usize = 64;

/// Returns the candidate that a word most probably stands for, `None` when none is near.
pub(crate) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word: Vec<char> = word.chars().take(LENGTH_MAX + 1).map(|c| c.to_ascii_lowercase()).collect();
    if word.len() > LENGTH_MAX {
        return None;
    }
    // A third of the letters may differ; more is another word.
    let allowed = (word.len() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.chars().map(|c| c.to_ascii_lowercase()).collect();
        if letters.len().abs_diff(word.len()) > allowed {
            continue;
        }
        let distance = distance(&word, &letters);
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Insertions, deletions, changes and swaps of neighbours between two words
/// (the "optimal string alignment" distance).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let known = ["expect", "every", "http", "https", "timeout"];
        let of = |word| nearest(word, known);
        assert_eq!(of("expct"), Some("expect"));
        assert_eq!(of("evrey"), Some("every"));
        assert_eq!(of("Timeout"), Some("timeout"));
        assert_eq!(of("htp"), Some("http"));
        assert_eq!(of("banana"), None);
        assert_eq!(of(""), None);
    }
}
