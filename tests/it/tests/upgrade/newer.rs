//! What a newer version wrote is refused: each stored form in turn, with one
//! clear error and nothing touched.

use it::mainstay::Mainstay;
use it::program::require;
use it::wait;
use it::webhook::Target;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Much longer than a start takes.
const TIMEOUT: Duration = Duration::from_secs(60);
/// What a snapshot begins with; its format follows.
const SNAPSHOT_MAGIC: &[u8] = b"MNSTSNAP";
/// What the log's record begins with; its format follows.
const RECORD_MAGIC: [u8; 16] =
    [0x9d, 0x4d, 0x73, 0xe1, 0x0c, 0x6e, 0x74, 0xb8, 0x5a, 0x61, 0xf3, 0x07, 0xc2, 0x2e, 0x91, 0x6b];
/// Bytes of the log's record, its checksum included.
const RECORD_BYTES: usize = 256;
const PAGE_BYTES: usize = 4096;

#[test]
fn a_snapshot_of_a_newer_version_is_refused() {
    refuses(&["written by a newer Mainstay", "format 2, this program reads up to 1"], snapshot, |path| {
        let mut bytes = fs::read(path).unwrap();
        let (head, at) = snapshot_head(&bytes);
        bytes[SNAPSHOT_MAGIC.len()] += 1;
        let checksum = crc32(&bytes[..head]);
        bytes[at..at + 4].copy_from_slice(&checksum.to_le_bytes());
        fs::write(path, bytes).unwrap();
    });
}

#[test]
fn a_state_of_a_newer_version_is_refused() {
    refuses(&["the state in", "cannot be read by this program", "format 2"], snapshot, |path| {
        let mut bytes = fs::read(path).unwrap();
        let (_, at) = snapshot_head(&bytes);
        bytes[at + 4] += 1;
        let end = bytes.len() - 4;
        let checksum = crc32(&bytes[at + 4..end]);
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
        fs::write(path, bytes).unwrap();
    });
}

#[test]
fn a_log_record_of_a_newer_version_is_refused() {
    refuses(&["log.db", "newer Mainstay", "format 2, this program reads up to 1"], log, |path| {
        let mut bytes = fs::read(path).unwrap();
        let page = PAGE_BYTES..2 * PAGE_BYTES;
        let mut changed = 0;
        for at in page.start..=page.end - RECORD_BYTES {
            let end = at + RECORD_BYTES - 4;
            let is_record =
                bytes[at..].starts_with(&RECORD_MAGIC) && bytes[end..end + 4] == crc32(&bytes[at..end]).to_le_bytes();
            if is_record {
                bytes[at + RECORD_MAGIC.len()] += 1;
                let checksum = crc32(&bytes[at..end]);
                bytes[end..end + 4].copy_from_slice(&checksum.to_le_bytes());
                changed += 1;
            }
        }
        assert!(changed > 0, "the record is on the second page");
        fs::write(path, bytes).unwrap();
    });
}

#[test]
fn log_rows_and_entries_of_a_newer_version_are_refused_with_their_place() {
    if require("sqlite3").is_none() {
        return;
    }
    // A payload is the row's format, its kind, and for each entry four bytes
    // of length, the entry's version, the entry.
    for (byte, wanted) in [(0, "it has format 2"), (6, "stored with format 2")] {
        let mut mainstay = one_that_has_lived();
        change_last_group(&log(mainstay.data()), byte);
        is_refused(&mut mainstay, &["at position", "what this program cannot read", "newer Mainstay", wanted]);
        // A second time too: nothing was cut off to get rid of it.
        is_refused(&mut mainstay, &["at position", wanted]);
    }
}

#[test]
fn a_batch_of_a_newer_version_that_waits_is_passed_over_and_said() {
    let mut mainstay = one_that_has_lived();
    let mut batch = vec![2];
    batch.extend(crc32(&[2]).to_le_bytes());
    let spool = mainstay.data().join("spool");
    fs::create_dir_all(&spool).unwrap();
    fs::write(spool.join(format!("{:020}.batch", 1)), batch).unwrap();
    mainstay.restart();
    let said =
        wait::until(TIMEOUT, || mainstay.log().contains("kept results cannot be read and are lost").then_some(()));
    assert!(said.is_some(), "{}", mainstay.log());
}

#[test]
fn the_page_about_upgrades_says_what_the_sources_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let page = root.join("docs/operating/upgrade.md");
    let text = fs::read_to_string(&page).unwrap();
    let mut forms = 0;
    for line in text.lines().filter(|line| line.contains("](../../crates/")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let version = cells.iter().find_map(|cell| cell.parse::<u32>().ok()).expect("a version");
        let source = line.split("](").nth(1).and_then(|rest| rest.split(')').next()).unwrap();
        let source = fs::read_to_string(page.parent().unwrap().join(source)).unwrap();
        let constant = if cells[1] == "machine" { "MACHINE_VERSION" } else { "" };
        let is_it = |line: &&str| {
            let is_version = ["VERSION", "FORMAT", "PROTOCOL"].iter().any(|name| line.contains(name));
            line.contains("const ")
                && is_version
                && line.contains(constant)
                && line.trim_end().ends_with(&format!("= {version};"))
        };
        assert!(source.lines().any(|line| is_it(&line)), "the version is another one than this: {line}");
        forms += 1;
    }
    assert!(forms >= 20, "only {forms} forms are named");
}

/// A data directory with a changed file is refused with one error that says
/// all of these, and is as good as before: with the file as it was it starts.
fn refuses(wanted: &[&str], file: impl Fn(&Path) -> PathBuf, change: impl Fn(&Path)) {
    let mut mainstay = one_that_has_lived();
    let file = file(mainstay.data());
    let before = fs::read(&file).unwrap();
    change(&file);
    let changed = fs::read(&file).unwrap();
    is_refused(&mut mainstay, wanted);
    assert!(fs::read(&file).unwrap() == changed, "what cannot be read was touched");
    fs::write(&file, before).unwrap();
    mainstay.restart();
    shown(&mainstay, "up");
}

/// It does not start, and one error says all of these.
fn is_refused(mainstay: &mut Mainstay, wanted: &[&str]) {
    let printed = mainstay.log().len();
    let code = mainstay.refuses_to_start().code();
    let said = mainstay.log().split_off(printed);
    assert!(code == Some(1) && !said.contains("panicked"), "{said}");
    let error = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("no error: {said}"));
    for words in wanted {
        assert!(error.contains(words), "{words:?} is not in {error:?}");
    }
}

/// One that has ended cleanly, with a configuration and results.
fn one_that_has_lived() -> Mainstay {
    let target = Target::start();
    let mut mainstay = Mainstay::start(&configuration(&target));
    shown(&mainstay, "up");
    assert_eq!(mainstay.stop().code(), Some(0));
    mainstay
}

fn configuration(target: &Target) -> String {
    format!(
        "page: {{ name: Test }}\ndefaults: {{ every: 1s, timeout: 400ms, retry: 1s }}\nservices:\n\
         - {{ name: Website, checks: [ {{ http: \"http://{}/\" }} ] }}\n",
        target.address()
    )
}

fn log(data: &Path) -> PathBuf {
    data.join("log/log.db")
}

fn snapshot(data: &Path) -> PathBuf {
    let entries = fs::read_dir(data.join("log/snapshots")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "snapshot")).max().unwrap()
}

/// The length of a snapshot's head, and where its checksum stands.
fn snapshot_head(bytes: &[u8]) -> (usize, usize) {
    assert!(bytes.starts_with(SNAPSHOT_MAGIC));
    let at = SNAPSHOT_MAGIC.len() + 4;
    let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    (at + 4 + length, at + 4 + length)
}

/// Raises one byte of the payload of the last row that holds entries, and
/// mends the row's checksum.
fn change_last_group(log: &Path, byte: usize) {
    let sql = |text: &str| {
        let said = Command::new("sqlite3").arg(log).arg(text).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).unwrap()
    };
    let row = sql(
        "SELECT position, term, node, count, hex(payload) FROM entries WHERE count > 0 ORDER BY position DESC LIMIT 1",
    );
    let cells: Vec<&str> = row.trim().split('|').collect();
    let numbers: Vec<u64> = cells[..4].iter().map(|cell| cell.parse().unwrap()).collect();
    let hex = cells[4];
    let mut payload: Vec<u8> =
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
    assert_eq!(payload[byte], 1, "the version that this test raises");
    payload[byte] += 1;
    let mut covered: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    covered.extend(&payload);
    let text: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
    let (checksum, position) = (crc32(&covered), numbers[0]);
    sql(&format!("UPDATE entries SET payload = X'{text}', checksum = {checksum} WHERE position = {position}"));
}

/// CRC-32 as zlib computes it, by its definition.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// Waits until the website is shown like this.
fn shown(mainstay: &Mainstay, state: &str) {
    wait::until(TIMEOUT, || {
        let page = mainstay.get("/api/v1/checks/website")?;
        let check: Value = serde_json::from_str(&page.body).ok()?;
        (check["check"]["verdict"] == state).then_some(())
    })
    .unwrap_or_else(|| panic!("the website is not shown as {state}; the log:\n{}", mainstay.log()));
}
