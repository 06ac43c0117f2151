//! Lines, files and what verification finds in them.

use std::{fs, io::Write, path::Path};

use registry_core::limits::AUDIT_LINES_WAITING_MAX;
use registry_proto::{
    log::Hash,
    terms::{Land, LogId},
};

use super::{
    book::Book,
    line::{Line, LineError},
    *,
};

const TIME_MS: i64 = 1_795_449_600_123;

fn acts() -> [Act; 3] {
    let call = Act {
        act: "verbund.registry.v1.PublishService/Publish".into(),
        outcome: "OK".into(),
        who: "p-0123456789abcdef".to_owned(),
        names: vec!["publisher.sl.example".to_owned()],
        from: "127.0.0.1:40000".to_owned(),
        object: "SL/1/17 01990000-0000-7000-8000-000000000001 1.0.0".to_owned(),
        count: 1,
        note: String::new(),
    };
    let refused = Act {
        act: "tls.handshake".into(),
        outcome: "unknown_issuer".into(),
        from: "2001:db8::".to_owned(),
        object: "grpc".to_owned(),
        count: 512,
        note: "further \"ones\"\n".to_owned(),
        ..Act::default()
    };
    [Act::new("audit.begin", "OK").on("05".repeat(16)), call, refused]
}

/// The form of a line is kept for ever: whoever reads an old log needs it.
#[test]
fn lines_of_version_1() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/audit-1.jsonl");
    let mut fresh = String::new();
    let mut prev = Hash::from_bytes([0; 32]);
    for (seq, act) in (0..).zip(acts()) {
        let (text, hash) = Line::of(&act, seq, TIME_MS + i64::try_from(seq).unwrap(), &prev).seal();
        fresh.push_str(&(text + "\n"));
        prev = hash;
    }
    if !path.exists() && std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap();
    assert_eq!(kept, fresh);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(files::name(0)), &kept).unwrap();
    let verdict = verify(&mut Lines::of(dir.path()).unwrap(), &[]).unwrap();
    assert_eq!((verdict.judgement(), verdict.lines), (Judgement::Intact, 3));
    let parsed: Vec<_> = kept.lines().map(|it| Line::parse(it).unwrap().0).collect();
    assert_eq!(parsed[1].unix_ms(), Some(TIME_MS + 1));
    assert_eq!((parsed[2].count, parsed[2].note.as_str()), (512, "further \"ones\"\n"));
}

#[test]
fn only_the_one_form_of_a_line_is_a_line() {
    let (text, _) = Line::of(&acts()[1], 7, TIME_MS, &Hash::from_bytes([1; 32])).seal();
    assert!(Line::parse(&text).is_ok());
    let check = |changed: String, expected: LineError| {
        assert_eq!(Line::parse(&changed), Err(expected), "{changed}");
    };
    check(text.replace("publisher.sl", "publisher.rp"), LineError::Hash);
    check(text.replace("\"seq\":7", "\"seq\": 7"), LineError::Form);
    check(text.replace("\"seq\":7", "\"seq\":7,\"seq\":7"), LineError::Form);
    check(text.replace("{\"v\":1", "{\"new\":1,\"v\":1"), LineError::Form);
    check(text.replace("{\"v\":1", "{\"v\":2"), LineError::Version(2));
    check(format!("{text} "), LineError::Form);
    check(String::new(), LineError::Form);
    check("x".repeat(1 << 20), LineError::TooLong);
}

#[test]
fn the_longest_line_is_one() {
    let long = "\u{1}".repeat(10_000);
    let act = Act {
        act: long.clone().into(),
        outcome: long.clone().into(),
        who: long.clone(),
        names: vec![long.clone(); 99],
        from: long.clone(),
        object: long.clone(),
        count: u64::MAX,
        note: long,
    };
    let (text, _) = Line::of(&act, u64::MAX, TIME_MS, &Hash::from_bytes([1; 32])).seal();
    assert!(Line::parse(&text).is_ok(), "{} bytes", text.len());
}

/// A log of twelve lines in files of about five, anchored after five and ten.
fn twelve(dir: &Path) -> Vec<Anchor> {
    let mut book = Book::open_with(dir.to_owned(), TIME_MS, 1_500).unwrap();
    let mut anchors = Vec::new();
    while book.head().size < 12 {
        let size = book.head().size;
        book.push(&acts()[1].clone().on(format!("object {size}")), TIME_MS).unwrap();
        let head = book.head().clone();
        if (head.size == 5 || head.size == 10) && anchors.len() < 2 {
            let log = LogId { land: Land::SL, epoch: 1 };
            let AuditHead { chain, size, hash } = head;
            anchors.push(Anchor { log, index: size, recorded_ms: TIME_MS, chain, size, hash });
        }
    }
    book.flush().unwrap();
    book.file().sync().unwrap();
    assert_eq!(anchors.len(), 2, "no anchor fell on the beginning of a file");
    anchors
}

/// All lines with the file they stand in.
fn all(dir: &Path) -> Vec<(std::path::PathBuf, String)> {
    let mut lines = Lines::of(dir).unwrap();
    std::iter::from_fn(|| lines.next_line().unwrap()).map(|it| (it.file, it.text)).collect()
}

/// What verification says after `change`.
#[track_caller]
fn check(change: impl FnOnce(&mut Vec<(std::path::PathBuf, String)>), expected: &str) {
    let dir = tempfile::tempdir().unwrap();
    let anchors = twelve(dir.path());
    let mut lines = all(dir.path());
    assert_eq!(lines.len(), 12);
    change(&mut lines);
    for (_, path) in files::list(dir.path()).unwrap() {
        fs::remove_file(path).unwrap();
    }
    for (path, text) in lines {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        writeln!(file, "{text}").unwrap();
    }
    let verdict = verify(&mut Lines::of(dir.path()).unwrap(), &anchors).unwrap();
    let sizes = |it: &[Anchor]| it.iter().map(|it| it.size).collect::<Vec<_>>();
    let breaks: Vec<_> =
        verdict.breaks.iter().map(|it| format!("{} {:?}", it.expected, it.why)).collect();
    let runs = verdict.runs.iter().map(|it| {
        let anchor = it.anchor.as_ref().map_or(0, |it| it.size);
        format!("{}..{}@{anchor}", it.from, it.to)
    });
    let told = format!(
        "{:?} {breaks:?} contradicted {:?} missing {:?} foreign {:?} [{}]",
        verdict.judgement(),
        sizes(&verdict.contradicted),
        sizes(&verdict.missing),
        sizes(&verdict.foreign),
        runs.collect::<Vec<_>>().join(" ")
    );
    assert_eq!(told, expected);
}

/// Seals the lines from `at` on anew, as somebody does who knows how.
fn seal_from(lines: &mut [(std::path::PathBuf, String)], at: usize) {
    for n in at..lines.len() {
        let (mut line, _) = reread(&lines[n].1);
        if n > 0 {
            line.prev = reread(&lines[n - 1].1).1.to_string();
        }
        lines[n].1 = line.seal().0;
    }
}

/// A line whose own hash may be wrong.
fn reread(text: &str) -> (Line, Hash) {
    let (head, _) = text.rsplit_once(",\"hash\"").unwrap();
    let line: Line = serde_json::from_str(&format!("{head}}}")).unwrap();
    let hash = line.seal().1;
    (line, hash)
}

fn changed(lines: &mut [(std::path::PathBuf, String)], at: usize) {
    lines[at].1 = lines[at].1.replace("publisher.sl", "somebody.rp");
}

#[test]
fn what_was_changed_is_named_and_what_can_be_trusted_too() {
    check(|_| (), "Intact [] contradicted [] missing [] foreign [] [0..12@10]");
    check(
        |it| changed(it, 6),
        "Broken [\"6 Line(Hash)\"] contradicted [] missing [] foreign [] [0..6@5 7..12@10]",
    );
    check(
        |it| drop(it.remove(6)),
        "Broken [\"6 Number(7)\"] contradicted [] missing [] foreign [] [0..6@5 7..12@10]",
    );
    check(
        |it| it[6].1 = "nonsense".to_owned(),
        "Broken [\"6 Line(Form)\"] contradicted [] missing [] foreign [] [0..6@5 7..12@10]",
    );
    // the line that was exchanged has a hash of its own; the next one knows the old one
    check(
        |it| {
            changed(it, 6);
            it[6].1 = reread(&it[6].1).0.seal().0;
        },
        "Broken [\"7 Before\"] contradicted [] missing [] foreign [] [0..7@5 7..12@10]",
    );
    // all hashes after it were made anew: only the anchor tells
    check(
        |it| {
            changed(it, 6);
            seal_from(it, 6);
        },
        "Broken [] contradicted [10] missing [] foreign [] [0..12@5]",
    );
    check(
        |it| {
            changed(it, 2);
            seal_from(it, 2);
        },
        "Broken [] contradicted [5, 10] missing [] foreign [] [0..12@0]",
    );
    check(|it| it.truncate(8), "Incomplete [] contradicted [] missing [10] foreign [] [0..8@5]");
    check(|it| it.clear(), "Incomplete [] contradicted [] missing [] foreign [10] []");
    check(
        |it| {
            let (a, b) = (it[6].1.clone(), it[7].1.clone());
            (it[6].1, it[7].1) = (b, a);
        },
        "Broken [\"6 Number(7)\", \"8 Number(6)\", \"7 Number(8)\"] contradicted [] missing [] \
         foreign [] [0..6@5 7..8@0 6..7@0 8..12@10]",
    );
}

/// Nothing signed names the lines after the last anchor.
#[test]
fn what_was_changed_after_the_last_anchor_cannot_be_seen() {
    check(|it| it.truncate(11), "Intact [] contradicted [] missing [] foreign [] [0..11@10]");
    check(
        |it| {
            changed(it, 11);
            seal_from(it, 11);
        },
        "Intact [] contradicted [] missing [] foreign [] [0..12@10]",
    );
}

#[test]
fn a_log_without_its_oldest_file_is_incomplete() {
    let dir = tempfile::tempdir().unwrap();
    let anchors = twelve(dir.path());
    let (_, oldest) = files::list(dir.path()).unwrap().remove(0);
    fs::remove_file(oldest).unwrap();
    let verdict = verify(&mut Lines::of(dir.path()).unwrap(), &anchors).unwrap();
    assert_eq!(verdict.judgement(), Judgement::Incomplete);
    assert!(verdict.first > 0 && verdict.breaks.is_empty());
    assert_eq!(verdict.chain, Some(anchors[0].chain));
}

#[test]
fn a_torn_end_is_kept_aside_and_the_chain_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let anchors = twelve(dir.path());
    let (_, newest) = files::list(dir.path()).unwrap().pop().unwrap();
    let whole = fs::read(&newest).unwrap();
    fs::write(&newest, [&whole[..], b"{\"v\":1,\"seq\":12,\"ti"].concat()).unwrap();
    let torn = verify(&mut Lines::of(dir.path()).unwrap(), &anchors).unwrap();
    assert!(torn.unfinished && torn.judgement() == Judgement::Intact);

    let book = Book::open(dir.path().to_owned(), TIME_MS).unwrap();
    let again = Book::open(dir.path().to_owned(), TIME_MS).expect_err("locked");
    assert_eq!(again.operation, "locking");
    drop(book);
    let verdict = verify(&mut Lines::of(dir.path()).unwrap(), &anchors).unwrap();
    assert_eq!((verdict.judgement(), verdict.lines), (Judgement::Intact, 13));
    let (_, last) = all(dir.path()).pop().unwrap();
    assert!(last.contains("audit.cut") && last.contains("19 bytes are kept in"), "{last}");
    let aside = fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().path());
    let aside = aside.filter(|it| !it.extension().unwrap().eq("jsonl")).collect::<Vec<_>>();
    assert_eq!(fs::read(&aside[0]).unwrap(), b"{\"v\":1,\"seq\":12,\"ti");
    // a line that was changed at the end of the file is cut too, and an anchor would tell
    let text = fs::read_to_string(&newest).unwrap().replace("kept", "lost");
    fs::write(&newest, text).unwrap();
    drop(Book::open(dir.path().to_owned(), TIME_MS).unwrap());
    let verdict = verify(&mut Lines::of(dir.path()).unwrap(), &anchors).unwrap();
    assert_eq!((verdict.judgement(), verdict.lines), (Judgement::Intact, 13));
}

#[tokio::test]
async fn a_node_writes_on_where_it_stopped_and_tells_how_far_it_is() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..3_u64 {
        let records = Shutdown::new();
        let audit = opened(dir.path(), &records);
        let (told, heard) = std::sync::mpsc::channel();
        audit.follow(move |head, soon| told.send((head.size, soon)).unwrap()).await;
        audit.note(Act::new("fence.open", "OK"));
        audit.reserve().unwrap().write(&Act::new("act", "OK")).await.unwrap();
        audit.reserve().unwrap().record(Act::new("administrative", "OK")).await.unwrap();
        audit.refused(Refusal {
            act: "tls.handshake",
            outcome: "timeout",
            who: String::new(),
            names: Vec::new(),
            from: None,
            object: String::new(),
            note: String::new(),
        });
        audit.finish(Act::new("node.stop", "OK")).await.unwrap();
        audit.close().await;
        records.drain(Duration::from_secs(30)).await;
        drop(audit);
        // the first line is that of the beginning
        let lines = 1 + 5 * round;
        let heard: Vec<_> = heard.into_iter().collect();
        assert!(heard.contains(&(lines - 2, true)), "{heard:?}");
        assert_eq!(heard.last().map(|it| it.0), Some(lines), "{heard:?}");
        let verdict = verify(&mut Lines::of(&dir.path().join(DIR)).unwrap(), &[]).unwrap();
        assert_eq!((verdict.judgement(), verdict.lines), (Judgement::Intact, lines));
    }
}

#[tokio::test]
async fn without_a_place_or_a_file_nothing_may_be_done() {
    let dir = tempfile::tempdir().unwrap();
    let records = Shutdown::new();
    let audit = opened(dir.path(), &records);
    let reason = |it: Result<Place, Reject>| match it {
        Err(Reject::Unavailable { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    let places: Vec<_> =
        std::iter::from_fn(|| audit.reserve().ok()).take(AUDIT_LINES_WAITING_MAX + 1).collect();
    // the ticker may hold one for a moment
    assert!(places.len() >= AUDIT_LINES_WAITING_MAX - 1, "{}", places.len());
    assert_eq!(reason(audit.reserve()), "AUDIT_FULL");
    // what happened anyway is counted
    audit.note(Act::new("fence.open", "OK"));
    drop(places);
    assert!(audit.reserve().is_ok());
    audit.fail();
    assert_eq!(reason(audit.reserve()), "AUDIT_FAILED");
    assert_eq!(audit.record(Act::new("node.stop", "OK")).await, Err(Unwritten));
    audit.close().await;
    records.drain(Duration::from_secs(30)).await;
}

fn opened(dir: &Path, records: &Shutdown) -> Audit {
    let (clock, metrics) = (Clock::start(), Arc::new(Metrics::new("test")));
    let setup = Setup { data_dir: dir, syslog: None, node: "sl-1.example", clock, metrics };
    Audit::open(setup, records).unwrap()
}
