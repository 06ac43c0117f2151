//! The manual of the command line is a test: every `console` block in `tests/cli/*.md` is run
//! against a demo and must print what stands there. A chapter with the line
//! `<!-- own processes -->` has a Verbund of its own, one process for each Land and without
//! catalogue, whose nodes it starts and stops itself: `systemctl start|stop registry-node@sl`. The
//! line `sleep 120d` lets days pass there: from then on the same nodes run in this process, on their
//! data, by a clock that is ahead. No node outside of tests has such a clock.
//!
//! A line `$ …` is a command for the shell (a trailing `\` continues it), the lines below are what
//! it prints on both outputs, `? n` is its exit code if it is not 0. `...` stands for any lines,
//! `[..]` for any characters of a line. The ports are those of a demo without `--any-port`.
//! `UPDATE_EXPECT=1 cargo test -p registry-tests --test cli` writes what was printed into the
//! blocks that differ; put the elisions back by hand.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use registry_node::{
    app::{App, Listeners},
    config::Config,
    demo::{Demo, DemoArgs},
    driver::Clock,
    lifecycle::Shutdown,
};
use registry_proto::terms::Land::{self, HE, RP, SL, TH};
use registry_tests::cluster::{Cluster, binary};
use tokio::process::Command;

/// One command of a block.
#[derive(Debug)]
struct Step {
    /// First and last line of what it prints, from 0; the end is exclusive.
    begin: usize,
    end: usize,
    command: String,
    expected: Vec<String>,
}

/// Where commands run.
struct Stage {
    scratch: tempfile::TempDir,
    /// Port in the manual, port of this demo.
    ports: Vec<(String, String)>,
    path: std::ffi::OsString,
    /// The processes of a chapter that has its own.
    cluster: Option<Cluster>,
    /// How much later it is than the clock of this machine says.
    later: Duration,
    /// The nodes of a chapter in which days have passed.
    apps: BTreeMap<Land, App>,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manual_is_true() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let args = DemoArgs {
        dir: dir.path().join("demo-data"),
        http: false,
        any_port: true,
        prepare: false,
        empty: false,
        with_newcomer: false,
    };
    let demo = Demo::start(&args).await.expect("the demo starts");
    demo.load().await.expect("the catalogue is published");
    demo.wait_live().await.expect("all nodes show it");

    let chapters = chapters(false);
    assert!(chapters.len() > 3, "the manual has some chapters");
    let mut problems = String::new();
    for path in chapters {
        let ports: Vec<_> = demo.nodes().map(|it| it.bound().grpc.port()).collect();
        let mut stage = Stage::new(&args.dir, &ports, None);
        stage.play(&path, &mut problems).await;
    }
    assert!(demo.stop().await, "the demo stops in order");
    assert!(problems.is_empty(), "{problems}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stories_of_the_manual_are_true() {
    let mut problems = String::new();
    for path in chapters(true) {
        let links = [(SL, RP), (SL, HE), (SL, TH), (RP, HE), (RP, TH), (HE, TH)];
        let cluster = Cluster::prepare(&LAENDER, &links);
        let ports: Vec<_> = LAENDER.iter().map(|it| cluster.bound(*it).grpc.port()).collect();
        let data = cluster.dir().to_owned();
        let mut stage = Stage::new(&data, &ports, Some(cluster));
        stage.play(&path, &mut problems).await;
        for (_, app) in std::mem::take(&mut stage.apps) {
            app.stop().await;
        }
    }
    assert!(problems.is_empty(), "{problems}");
}

// === impl Stage ===

impl Stage {
    /// `ports` are those of [`LAENDER`].
    fn new(demo_data: &Path, ports: &[u16], cluster: Option<Cluster>) -> Self {
        let scratch = tempfile::tempdir().expect("temporary directory");
        std::os::unix::fs::symlink(demo_data, scratch.path().join("demo-data")).expect("link");
        let ports = (7443..)
            .zip(ports)
            .map(|(port, here)| (format!("localhost:{port}"), format!("localhost:{here}")))
            .collect();
        let mut path = vec![binary("registry").parent().expect("a directory").to_owned()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let path = std::env::join_paths(path).expect("PATH");
        let (later, apps) = (Duration::ZERO, BTreeMap::new());
        Self { scratch, ports, path, cluster, later, apps }
    }

    /// Plays a chapter and tells what differs.
    async fn play(&mut self, chapter: &Path, problems: &mut String) {
        let text = fs::read_to_string(chapter).expect("chapter");
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let name = chapter.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut differing = Vec::new();
        for step in steps(&text) {
            let printed = match self.operate(&step.command).await {
                Some(printed) => printed,
                None => self.run(&step.command).await,
            };
            if !matches(&step.expected, &printed) {
                let _ = write!(
                    problems,
                    "\n{name}:{}: $ {}\n--- expected\n{}\n--- printed\n{}\n",
                    step.begin,
                    step.command,
                    step.expected.join("\n"),
                    printed.join("\n"),
                );
                differing.push((step, printed));
            }
        }
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            for (step, printed) in differing.into_iter().rev() {
                lines.splice(step.begin..step.end, printed);
            }
            fs::write(chapter, lines.join("\n") + "\n").expect("chapter");
        }
    }

    /// Starts or stops nodes or lets days pass, if that is the command; what it prints then.
    async fn operate(&mut self, command: &str) -> Option<Vec<String>> {
        if let Some(days) = command.strip_prefix("sleep ").and_then(|it| it.strip_suffix('d')) {
            self.pass(days.parse().expect("days")).await;
            return Some(Vec::new());
        }
        let rest = command.strip_prefix("systemctl ")?;
        let (verb, units) = rest.split_once(' ').expect("systemctl VERB UNIT..");
        let laender: Vec<Land> = units
            .split_whitespace()
            .map(|unit| unit.strip_prefix("registry-node@").expect("registry-node@LAND"))
            .map(|land| land.to_uppercase().parse().expect("a Land"))
            .collect();
        match verb {
            "start" => self.start(&laender).await,
            "stop" => {
                for land in laender {
                    self.stop(land).await;
                }
            }
            other => panic!("systemctl {other}"),
        }
        Some(Vec::new())
    }

    async fn start(&mut self, laender: &[Land]) {
        let cluster = self.cluster.as_mut().expect("a chapter with its own processes");
        for land in laender.iter().copied() {
            if self.later.is_zero() {
                cluster.run(land);
                continue;
            }
            let config = Config::load(&cluster.prepared().config(land)).expect("configuration");
            let listeners = Listeners::bind(&config.listen).await.expect("bound");
            let clock = Clock::ahead(self.later);
            let app = App::start_by(clock, config, listeners, Shutdown::new()).await;
            self.apps.insert(land, app.expect("starts"));
        }
        cluster.wait_open(laender).await;
    }

    async fn stop(&mut self, land: Land) {
        if let Some(app) = self.apps.remove(&land) {
            app.stop().await;
            return;
        }
        let cluster = self.cluster.as_mut().expect("a chapter with its own processes");
        assert!(cluster.terminate(land, LIMIT).await.success(), "{land} stops");
    }

    /// Lets days pass: all nodes that run are started again, later.
    async fn pass(&mut self, days: u64) {
        let cluster = self.cluster.as_ref().expect("a chapter with its own processes");
        let running: Vec<Land> = LAENDER
            .into_iter()
            .filter(|it| cluster.runs(*it) || self.apps.contains_key(it))
            .collect();
        for land in &running {
            self.stop(*land).await;
        }
        self.later += Duration::from_secs(days * 24 * 3_600);
        self.start(&running).await;
    }

    /// What a command prints, and its exit code if it is not 0.
    async fn run(&self, command: &str) -> Vec<String> {
        let command = self
            .ports
            .iter()
            .fold(command.to_owned(), |it, (manual, here)| it.replace(manual, here));
        let here = self.ports.first().map(|(_, here)| format!("https://{here}"));
        let output = Command::new("sh")
            .arg("-c")
            // one pipe for both, so that lines come in the order they were printed
            .arg(format!("exec 2>&1\n{command}"))
            .current_dir(self.scratch.path())
            .env("PATH", &self.path)
            .env("REGISTRY_ENDPOINT", here.unwrap_or_default())
            .env("REGISTRY_CA", "demo-data/pki/ca.pem")
            .env("REGISTRY_CERT", "demo-data/pki/reader.pem")
            .env("REGISTRY_KEY", "demo-data/pki/reader.key")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(LIMIT, output).await;
        let output = output.unwrap_or_else(|_| panic!("{command} did not end")).expect("sh runs");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let text = self.ports.iter().fold(text, |it, (manual, here)| it.replace(here, manual));
        let mut printed: Vec<String> = text.lines().map(|it| it.trim_end().to_owned()).collect();
        match output.status.code() {
            Some(0) => {}
            Some(code) => printed.push(format!("? {code}")),
            None => printed.push("? ended by a signal".to_owned()),
        }
        printed
    }
}

/// The commands of all `console` blocks.
fn steps(text: &str) -> Vec<Step> {
    let mut found: Vec<Step> = Vec::new();
    let mut inside = false;
    let mut open = false;
    for (at, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            inside = line == "```console";
            open = false;
        } else if !inside {
            continue;
        } else if let Some(command) = line.strip_prefix("$ ") {
            open = command.ends_with('\\');
            let (begin, end) = (at + 1, at + 1);
            found.push(Step { begin, end, command: command.to_owned(), expected: Vec::new() });
        } else if let Some(step) = found.last_mut() {
            if open {
                step.command.push('\n');
                step.command.push_str(line);
                open = line.ends_with('\\');
                step.begin = at + 1;
            } else {
                step.expected.push(line.to_owned());
            }
            step.end = at + 1;
        }
    }
    found
}

/// Whether lines are those expected, with `...` for any lines.
fn matches(expected: &[String], printed: &[String]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((first, rest)) if first == "..." => {
            (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..]))
        }
        Some((first, rest)) => printed
            .split_first()
            .is_some_and(|(line, more)| line_matches(first, line) && matches(rest, more)),
    }
}

/// Whether a line is the one expected, with `[..]` for any characters.
fn line_matches(expected: &str, line: &str) -> bool {
    match expected.split_once("[..]") {
        None => expected == line,
        Some((before, after)) => line.strip_prefix(before).is_some_and(|rest| {
            rest.char_indices()
                .map(|(at, _)| at)
                .chain([rest.len()])
                .any(|at| line_matches(after, &rest[at..]))
        }),
    }
}

/// Chapters with processes of their own, or the others.
fn chapters(own: bool) -> Vec<PathBuf> {
    let all = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("cli")).expect("tests/cli");
    let mut all: Vec<_> = all.map(|it| it.expect("entry").path()).collect();
    all.retain(|path| {
        let text = fs::read_to_string(path).expect("chapter");
        text.lines().any(|line| line == "<!-- own processes -->") == own
    });
    all.sort();
    all
}

/// In the order of the ports of the manual.
const LAENDER: [Land; 4] = [SL, RP, HE, TH];

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn elisions_stand_for_lines_and_for_parts_of_lines() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let check = |expected: &str, printed: &str, same: bool| {
        assert_eq!(matches(&lines(expected), &lines(printed)), same, "{expected:?} {printed:?}");
    };
    check("a\nb", "a\nb", true);
    check("a\nb", "a", false);
    check("a", "a\nb", false);
    check("a\n...", "a\nb\nc", true);
    check("a\n...\nc", "a\nc", true);
    check("...\nc", "a\nb", false);
    check("at [..] o'clock", "at 12 o'clock", true);
    check("[..] and [..]!", "this and that!", true);
    check("[..] and [..]!", "this or that!", false);
}
