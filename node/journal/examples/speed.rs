//! Prints what the journal does per second: `cargo run --release -p registry-journal --example
//! speed -- DIR`. DIR must be on the disk that is to be measured; it is removed afterwards.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use registry_journal::{
    Body, CheckpointRecord, EntryRef, Group, Journal, Label, Options, READ_BYTES_MAX,
};

const HEADER_BYTES: usize = 300;
const BODY_BYTES: usize = 2_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args_os().nth(1).map(PathBuf::from).ok_or("usage: speed DIR")?;
    if dir.exists() {
        return Err("DIR exists".into());
    }
    for (group, groups) in [(1, 3_000), (8, 2_000), (64, 1_000), (450, 500)] {
        plain(&dir.join(format!("plain-{group}")), group, groups)?;
        journal(&dir.join(format!("journal-{group}")), group, groups)?;
    }
    reading(&dir.join("journal-450"))?;
    fs::remove_dir_all(&dir)?;
    Ok(())
}

/// One write and one sync of as many bytes, without a journal: what the disk can do.
fn plain(path: &Path, group: usize, groups: u64) -> std::io::Result<()> {
    use std::os::unix::fs::FileExt;
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    let file = File::create(path)?;
    let bytes = vec![0x42; group * (HEADER_BYTES + BODY_BYTES + 64) + 400];
    let mut times = Vec::new();
    for place in 0..groups {
        let start = Instant::now();
        file.write_all_at(&bytes, place * bytes.len() as u64)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    print("write + fdatasync", group, bytes.len() as u64 * groups, times);
    Ok(())
}

fn journal(dir: &Path, group: usize, groups: u64) -> Result<(), Box<dyn std::error::Error>> {
    let mut journal = open(dir)?;
    let header = [0x41; HEADER_BYTES];
    let body = Body::Present { salt: &[1; 16], bytes: &[0x42; BODY_BYTES] };
    let entries = vec![EntryRef { header: &header, body }; group];
    let mut times = Vec::new();
    for place in 1..=groups {
        let note_size = place * group as u64;
        let note = vec![0x43; 300].into();
        let checkpoint = CheckpointRecord { note, note_size, proof: Vec::new() };
        let start = Instant::now();
        journal.append(&Group {
            entries: &entries,
            checkpoint: &checkpoint,
            received_unix_ms: 0,
            from: "",
        })?;
        times.push(start.elapsed());
    }
    print("append", group, journal.reader().bytes(), times);
    Ok(())
}

fn reading(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let journal = open(dir)?;
    let reader = journal.reader();
    let size = reader.size();
    println!("open {size} entries, {} MB: {:?}", reader.bytes() / 1_000_000, start.elapsed());
    for (what, max_bytes) in [("1 MiB at once", 1 << 20), ("64 MiB at once", READ_BYTES_MAX)] {
        let (start, mut next) = (Instant::now(), 0);
        while next < size {
            next += reader.read(next, max_bytes, usize::MAX)?.len() as u64;
        }
        let rate = reader.bytes() as f64 / start.elapsed().as_secs_f64() / 1e6;
        println!("read {what}: {rate:.0} MB/s");
    }
    let start = Instant::now();
    for place in 0..100_000 {
        reader.entry(place * 7_919 % size)?;
    }
    println!("read single entries: {:.0}/s", 100_000.0 / start.elapsed().as_secs_f64());
    let start = Instant::now();
    assert!(reader.scrub(&mut |_, _| {})?.is_empty());
    let rate = reader.bytes() as f64 / start.elapsed().as_secs_f64() / 1e6;
    println!("scrub: {rate:.0} MB/s");
    Ok(())
}

fn open(dir: &Path) -> Result<Journal, registry_journal::OpenError> {
    let label = Label { verbund: [0; 32], land: "SL".to_owned(), epoch: 1 };
    Ok(Journal::open(dir, &label, Options::default(), &mut |_| {})?.0)
}

fn print(what: &str, group: usize, bytes: u64, mut times: Vec<Duration>) {
    let total: Duration = times.iter().sum();
    times.sort_unstable();
    println!(
        "{what:18} {group:4} entries: {:7.0} groups/s {:6.0} MB/s, half below {:?}, 99 % below {:?}",
        times.len() as f64 / total.as_secs_f64(),
        bytes as f64 / total.as_secs_f64() / 1e6,
        times[times.len() / 2],
        times[times.len() * 99 / 100],
    );
}
