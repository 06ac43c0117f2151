//! Charters in force while nodes run: four members of real processes vote, a fifth Land comes.

use std::{fs, path::PathBuf, process::Output, time::Duration};

use prost::Message as _;
use registry_node::cli::init::ensure_key;
use registry_proto::{
    charter::Charter,
    evidence::Equivocation,
    log::{Checkpoint, LogSigner, Origin, leaf_hash},
    terms::{
        Land::{self, BY, HE, RP, SL, TH},
        LogId,
    },
    wire::registry as wire,
};
use registry_tests::{
    cluster::{Cluster, Who, binary, eventually, keep_links},
    records::{definition, request, service_id},
};

const FOUNDERS: [Land; 4] = [HE, RP, SL, TH];
const ALL: [Land; 5] = [BY, HE, RP, SL, TH];
const LIMIT: Duration = Duration::from_secs(60);

//     HE - RP        the founders; BY dials SL and RP once it is a member
//      | X |
//     SL - TH
#[tokio::test(flavor = "multi_thread")]
async fn a_fifth_land_is_voted_in_and_publishes_while_the_others_run() {
    let mut verbund = Verbund::prepare();
    FOUNDERS.iter().for_each(|land| verbund.cluster.run(*land));
    verbund.cluster.wait_open(&FOUNDERS).await;
    let pids = FOUNDERS.map(|land| verbund.cluster.pid(land));

    // a proposal is a vote; whoever is not asked to may not vote
    let next = verbund.amend("1", &["--admit", &verbund.card(BY)]);
    let shown = verbund.node(&["charter", "show", &next]);
    assert!(text(&shown).contains("Entwurf von Charta Nr. 1"), "{}", text(&shown));
    let shown = verbund.node(&["charter", "show", &next, "--from", &verbund.path("chain-1")]);
    assert!(text(&shown).contains("BY wird aufgenommen"), "{}", text(&shown));
    let denied = verbund.registry(SL, Who::Reader, &["charter", "propose", &next]);
    assert!(!denied.status.success());
    let method = "/verbund.registry.v1.CharterService/VoteCharter";
    let counted =
        format!("registry_requests_total{{method=\"{method}\",code=\"PERMISSION_DENIED\"}}");
    verbund.cluster.saw(SL, &counted, &["call refused", method]).await;
    let told = verbund.operator(SL, &["charter", "propose", &next]);
    assert!(told.contains("BY wird aufgenommen") && told.contains("SL/1/"), "{told}");
    let digest = verbund.digest(&next);
    verbund.sees(RP, &["BY wird aufgenommen", "SL (Runde 1)", "fehlen: HE, RP, TH"]).await;
    verbund.operator(RP, &["charter", "vote", &digest[..12]]);
    let again = verbund.registry(RP, Who::Operator(RP), &["charter", "vote", &digest]);
    assert!(text(&again).contains("VOTED_ALREADY"), "{}", text(&again));
    verbund.sees(HE, &["SL (Runde 1)", "RP (Runde 1)"]).await;
    verbund.operator(HE, &["charter", "vote", &digest]);

    // three of four: everybody follows, in the same process, also who did not vote
    verbund.follow(&FOUNDERS, 1).await;
    assert_eq!(pids, FOUNDERS.map(|land| verbund.cluster.pid(land)));
    verbund.cluster.wait_open(&FOUNDERS).await;
    let late = verbund.registry(TH, Who::Operator(TH), &["charter", "propose", &next]);
    assert!(text(&late).contains("gilt schon"), "{}", text(&late));

    // the newcomer is given the chain, and its log goes round; without proofs, as older software
    // exports it, it is told so until the votes are there
    verbund.admit(BY);
    verbund.tells_what_is_proved(BY);
    verbund.cluster.run(BY);
    verbund.cluster.wait_open(&[BY]).await;
    verbund.says(BY, "neither votes for it nor a proof").await;
    verbund.says(BY, "the votes for this charter are here now").await;
    let status = verbund.registry(BY, Who::Reader, &["charter", "status"]);
    assert!(!text(&status).contains("Achtung"), "{}", text(&status));
    let service = service_id(1);
    let records = request(vec![definition(&service, "Aus Bayern")], vec![]);
    verbund.cluster.publish(BY, records).await.expect("published");
    eventually(LIMIT, "TH shows what BY published", async || {
        let listed = verbund.registry(TH, Who::Reader, &["service", "list", "--land", "BY"]);
        text(&listed).contains("Aus Bayern")
    })
    .await;
    let genesis = verbund.genesis().display().to_string();
    let proof = ["proof", "BY/1/0", "--charter", &genesis];
    let proof = text(&verbund.registry(TH, Who::Reader, &proof));
    assert!(proof.contains("später beigetreten") && proof.contains("charter export"), "{proof}");

    // it votes like the others, four of five now; what everybody must follow is computed anew
    let next = verbund.amend("2", &["--threshold", "5"]);
    verbund.operator(BY, &["charter", "propose", &next]);
    let digest = verbund.digest(&next);
    for land in [SL, RP, TH] {
        verbund.sees(land, &[&digest, "BY (Runde 1)"]).await;
        verbund.operator(land, &["charter", "vote", &digest]);
    }
    verbund.follow(&ALL, 2).await;
    verbund.keeps_proofs(BY, &[1, 2]).await;
    verbund.cluster.kill(SL);
    verbund.cluster.run(SL);
    verbund.follow(&[SL], 2).await;
    let history = verbund.operator(SL, &["charter", "history"]);
    assert!(history.contains("Schwelle 5 statt 4"), "{history}");
}

//     HE - RP        TH is suspended at a place behind which it has published, resumed, removed
//      | X |
//     SL - TH
#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_suspended_resumed_and_removed_while_the_others_run() {
    let others = [HE, RP, SL];
    let mut verbund = Verbund::prepare();
    FOUNDERS.iter().for_each(|land| verbund.cluster.run(*land));
    verbund.cluster.wait_open(&FOUNDERS).await;
    verbund.publishes(TH, 1, "Vor der Pause").await;
    verbund.lists(&FOUNDERS, "TH", &["Vor der Pause"], &[]).await;
    let cut = verbund.cut(SL, TH);
    verbund.publishes(TH, 2, "Hinter der Stelle").await;
    verbund.lists(&FOUNDERS, "TH", &["Hinter der Stelle"], &[]).await;

    // nobody vouches for a place in a log that it does not hold
    let wrong = |it: &str| cut.replace(cut.rsplit('/').next().unwrap_or_default(), it);
    for (name, place, reason) in [
        ("wrong", wrong(&"5".repeat(64)), "CUT_WRONG"),
        ("unknown", format!("TH/1/1000/{}", "5".repeat(64)), "CUT_UNKNOWN"),
    ] {
        let next = verbund.amend(name, &["--suspend", "TH", "--cut", &place]);
        let refused = verbund.registry(SL, Who::Operator(SL), &["charter", "propose", &next]);
        assert!(text(&refused).contains(reason), "{}", text(&refused));
    }

    let next = verbund.amend("1", &["--suspend", "TH", "--cut", &cut]);
    verbund.decide(&next, &others).await;
    verbund.follow(&others, 1).await;
    // what stands behind the place is not shown any more, what stands before it is, and marked
    let marked = ["Vor der Pause", "TH (ruht)"];
    verbund.lists(&others, "TH", &marked, &["Hinter der Stelle"]).await;
    let size = cut.split('/').nth(2).expect("a size").to_owned();
    let shown =
        verbund.registry(RP, Who::Reader, &["service", "list", "--land", "TH", "-o", "json"]);
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    let log = shown["as_of"].as_array().and_then(|it| it.iter().find(|it| it["land"] == "TH"));
    let log = log.expect("the log of TH");
    assert!(log["state"].as_str().is_some_and(|it| it.contains("SUSPENDED")), "{log}");
    assert_eq!(log["ends_at"].to_string().trim_matches('"'), size, "{log}");
    let status = text(&verbund.registry(SL, Who::Reader, &["status"]));
    assert!(status.contains("TH nimmt nach der Charta zur Zeit nicht teil"), "{status}");
    // its node is told why it gets no session
    verbund.says(TH, "has suspended TH").await;
    let journal = verbund.cluster.home(SL).join("data/journal/TH/1");
    let aside = |dir: &PathBuf| {
        let files = fs::read_dir(dir).expect("a journal").filter_map(Result::ok);
        files.filter(|it| it.path().extension().is_some_and(|it| it == "aside")).count()
    };
    assert_eq!(aside(&journal), 1, "{}", journal.display());
    // the others go on
    verbund.publishes(HE, 3, "Ohne Thüringen").await;
    verbund.lists(&others, "HE", &["Ohne Thüringen"], &[]).await;

    let next = verbund.amend("2", &["--resume", "TH"]);
    verbund.decide(&next, &others).await;
    verbund.follow(&FOUNDERS, 2).await;
    verbund.cluster.wait_open(&FOUNDERS).await;
    verbund.publishes(TH, 4, "Nach der Pause").await;
    let all = ["Vor der Pause", "Hinter der Stelle", "Nach der Pause"];
    verbund.lists(&FOUNDERS, "TH", &all, &["ruht"]).await;

    let cut = verbund.cut(SL, TH);
    let next = verbund.amend("3", &["--remove", "TH", "--cut", &cut]);
    verbund.decide(&next, &others).await;
    verbund.follow(&others, 3).await;
    let marked = ["Nach der Pause", "TH (ausgeschieden)"];
    verbund.lists(&others, "TH", &marked, &[]).await;
    let status = text(&verbund.registry(SL, Who::Reader, &["status"]));
    assert!(status.contains("TH ist aus dem Verbund ausgeschieden"), "{status}");
    eventually(LIMIT, "TH learns that it was removed", async || {
        let said = verbund.cluster.stderr(TH);
        said.contains("has removed TH") || said.contains("ausgeschieden")
    })
    .await;
    // each began again under the charter
    verbund.cluster.wait_open(&others).await;
    // nobody waits for its word that something is erased
    let entry = format!("SL/1/{}", verbund.publishes(SL, 5, "Mit Namen").await);
    verbund.publishes(SL, 5, "Ohne Namen").await;
    verbund.operator(SL, &["erase", "entry", &entry, "--grund", "Widerruf"]);
    eventually(LIMIT, "all who take part have erased it", async || {
        let told = verbund.registry(SL, Who::Reader, &["erase", "status", &entry, "-o", "json"]);
        let told: serde_json::Value = serde_json::from_slice(&told.stdout).expect("JSON");
        let state = &told["erasures"][0];
        assert_eq!(state["removed"], serde_json::json!(["TH"]), "{told}");
        state["confirmed"].as_array().is_some_and(|it| it.len() == others.len())
            && state["open"] == serde_json::json!([])
    })
    .await;
    let told = text(&verbund.registry(SL, Who::Reader, &["erase", "status", &entry]));
    assert!(told.contains("TH (ausgeschieden)"), "{told}");
}

//     HE - RP        the keys of SL are replaced
//      | X |
//     SL - TH
#[tokio::test(flavor = "multi_thread")]
async fn a_log_goes_on_under_new_keys_and_all_of_it_verifies() {
    let mut verbund = Verbund::prepare();
    FOUNDERS.iter().for_each(|land| verbund.cluster.run(*land));
    verbund.cluster.wait_open(&FOUNDERS).await;
    let old = verbund.publishes(SL, 1, "Mit altem Schlüssel").await;
    verbund.lists(&FOUNDERS, "SL", &["Mit altem Schlüssel"], &[]).await;
    let cut = verbund.cut(RP, SL);
    let card = verbund.new_keys(SL);
    let next = verbund.amend("1", &["--rekey", &card, "--cut", &cut]);
    let refused = verbund.registry(SL, Who::Operator(SL), &["charter", "propose", &next]);
    assert!(text(&refused).contains("keys.next_log"), "{}", text(&refused));

    verbund.configure(SL, |keys| {
        keys.insert("next_log".to_owned(), "new-log.key".into());
        keys.insert("next_freshness".to_owned(), "new-freshness.key".into());
    });
    verbund.cluster.kill(SL);
    verbund.cluster.run(SL);
    verbund.cluster.wait_open(&[SL]).await;
    // behind the place where the old key ends, before the new one begins
    let between = verbund.publishes(SL, 2, "Dazwischen").await;
    verbund.lists(&FOUNDERS, "SL", &["Dazwischen"], &[]).await;
    verbund.decide(&next, &[HE, RP, TH]).await;
    verbund.follow(&FOUNDERS, 1).await;
    verbund.cluster.wait_open(&FOUNDERS).await;
    // what proves the vote was kept before anything was set aside
    let exported = verbund.operator(SL, &["charter", "export", &verbund.path("proved")]);
    assert!(exported.contains("liegt bei") && !exported.contains("Achtung"), "{exported}");
    let new = verbund.publishes(SL, 3, "Mit neuem Schlüssel").await;
    let all = ["Mit altem Schlüssel", "Dazwischen", "Mit neuem Schlüssel"];
    verbund.lists(&FOUNDERS, "SL", &all, &[]).await;

    // the newest charter verifies everything, the one before it nothing of the new key
    let chain = verbund.path("all");
    verbund.operator(TH, &["charter", "export", &chain]);
    let genesis = verbund.genesis().display().to_string();
    for at in [old, between, new] {
        let place = format!("SL/1/{at}");
        let ask = |charter: &str| {
            verbund.registry(TH, Who::Reader, &["proof", &place, "--charter", charter])
        };
        assert!(ask(&chain).status.success(), "{place}: {}", text(&ask(&chain)));
        let refused = ask(&genesis);
        assert!(!refused.status.success(), "{place}: {}", text(&refused));
        let words = ["späterer Schlüssel", "registry charter export"];
        assert!(words.iter().all(|it| text(&refused).contains(it)), "{}", text(&refused));
    }
    verbund.verifies_under_proved_chains(&format!("SL/1/{new}"), &verbund.path("proved"));

    // whoever has only the old files is told which ones are missing
    verbund.configure(SL, |keys| {
        keys.remove("next_log");
        keys.remove("next_freshness");
    });
    let mut check = std::process::Command::new(binary("registry-node"));
    check.args(["run", "--check", "--config"]).arg(verbund.cluster.prepared().config(SL));
    let checked = check.output().expect("registry-node runs");
    let said = text(&checked);
    assert!(!checked.status.success(), "{said}");
    assert!(
        said.contains("keys.log") && said.contains("keys.next_log ist es auch nicht"),
        "{said}"
    );
}

//     HE - RP        TH is away while the keys of SL and then of RP are replaced, each at a place
//      | X |          before its own vote, without which TH cannot count the others
//     SL - TH
#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_follows_by_what_partners_prove_and_goes_on() {
    let others = [HE, RP, SL];
    let mut verbund = Verbund::prepare();
    FOUNDERS.iter().for_each(|land| verbund.cluster.run(*land));
    verbund.cluster.wait_open(&FOUNDERS).await;
    verbund.publishes(SL, 1, "Vor dem Wechsel").await;
    verbund.lists(&FOUNDERS, "SL", &["Vor dem Wechsel"], &[]).await;
    verbund.cluster.kill(TH);
    for (number, land, at) in [(1, SL, HE), (2, RP, HE)] {
        let cut = verbund.cut(at, land);
        let card = verbund.new_keys(land);
        let next = verbund.amend(&number.to_string(), &["--rekey", &card, "--cut", &cut]);
        verbund.configure(land, |keys| {
            keys.insert("next_log".to_owned(), "new-log.key".into());
            keys.insert("next_freshness".to_owned(), "new-freshness.key".into());
        });
        verbund.cluster.kill(land);
        verbund.cluster.run(land);
        verbund.cluster.wait_open(&[land]).await;
        verbund.decide(&next, &others).await;
        verbund.follow(&others, number).await;
        verbund.cluster.wait_open(&others).await;
    }
    verbund.publishes(SL, 2, "Nach dem Wechsel").await;

    verbund.cluster.run(TH);
    verbund.says(TH, "partner runs under a later charter").await;
    verbund.follow(&[TH], 2).await;
    verbund.says(TH, "a partner told this charter with the votes that decided on it").await;
    verbund.keeps_proofs(TH, &[1, 2]).await;
    verbund.sees(TH, &["Charta 1 hat ", "Charta 2 hat ", "mitgeteilt, mit dem Beweis"]).await;
    let status = text(&verbund.registry(TH, Who::Reader, &["charter", "status"]));
    assert!(!status.contains("Achtung"), "{status}");
    let traced = fs::read_dir(verbund.cluster.home(TH).join("data/audit")).expect("an audit log");
    let traced: String = traced.filter_map(|it| fs::read_to_string(it.ok()?.path()).ok()).collect();
    assert!(traced.contains("charter.follow") && traced.contains("proved"), "{traced}");
    // what stands behind the places comes under the new keys, and TH goes on
    verbund.cluster.wait_open(&FOUNDERS).await;
    verbund.lists(&[TH], "SL", &["Vor dem Wechsel", "Nach dem Wechsel"], &[]).await;
    verbund.publishes(TH, 3, "Wieder da").await;
    verbund.lists(&FOUNDERS, "TH", &["Wieder da"], &[]).await;
    verbund.tells_what_a_draft_rests_on();
}

/// Five Länder with keys and certificates, four of them in the genesis charter.
struct Verbund {
    cluster: Cluster,
    members: Vec<wire::Member>,
}

impl Verbund {
    fn prepare() -> Self {
        let links: Vec<_> = ALL.iter().flat_map(|a| ALL.map(|b| (*a, b))).collect();
        let cluster = Cluster::prepare(&ALL, &links);
        let path = cluster.prepared().charter();
        let raw = fs::read(&path).expect("charter");
        let mut charter = wire::Charter::decode(&raw[..]).expect("charter");
        let members = charter.members.clone();
        charter.members.retain(|it| it.land != BY.code());
        charter.threshold = 3;
        fs::write(&path, charter.encode_to_vec()).expect("charter");
        let among: Vec<_> = links
            .into_iter()
            .filter(|(a, b)| FOUNDERS.contains(a) && FOUNDERS.contains(b))
            .collect();
        for land in FOUNDERS {
            keep_links(&cluster.prepared().config(land), land, &among);
        }
        Self { cluster, members }
    }

    fn genesis(&self) -> PathBuf {
        self.cluster.prepared().charter()
    }

    fn path(&self, name: &str) -> String {
        self.cluster.dir().join(format!("{name}.binpb")).display().to_string()
    }

    /// The card of a Land, as `registry-node init` writes it.
    fn card(&self, land: Land) -> String {
        let member = self.members.iter().find(|it| it.land == land.code()).expect("prepared");
        let anchor = self.cluster.prepared().pki.anchor(land);
        let card = serde_json::json!({
            "land": member.land,
            "log_key": hex::encode(&member.log_key),
            "freshness_key": hex::encode(&member.freshness_key),
            "offline_key": hex::encode(&member.offline_key),
            "nodes": [{ "name": member.nodes[0].name, "spki_pins": [] }],
            "anchors": [fs::read_to_string(anchor).expect("anchor")],
        });
        let path = self.cluster.dir().join("member.json");
        fs::write(&path, card.to_string()).expect("card");
        path.display().to_string()
    }

    /// Drafts the charter that follows the newest one; its file.
    fn amend(&self, name: &str, args: &[&str]) -> String {
        let (chain, out) = (self.path(&format!("chain-{name}")), self.path(name));
        self.operator(SL, &["charter", "export", &chain]);
        let mut command = std::process::Command::new(binary("registry-node"));
        command.args(["charter", "amend", "--from", &chain, "--out", &out]).args(args);
        let output = command.output().expect("registry-node runs");
        assert!(output.status.success(), "{}", text(&output));
        out
    }

    /// Proposes a draft at the first of these and votes for it at the others.
    async fn decide(&self, next: &str, laender: &[Land]) {
        let digest = self.digest(next);
        let (first, rest) = laender.split_first().expect("a member");
        self.operator(*first, &["charter", "propose", next]);
        for land in rest {
            self.sees(*land, &[&digest]).await;
            self.operator(*land, &["charter", "vote", &digest]);
        }
    }

    /// How far the log of a Land goes, as a node tells it.
    fn cut(&self, at: Land, of: Land) -> String {
        self.operator(at, &["charter", "cut", of.code()]).trim().to_owned()
    }

    /// Publishes a service; its index in the log.
    async fn publishes(&self, land: Land, number: u64, name: &str) -> u64 {
        let records = request(vec![definition(&service_id(number), name)], vec![]);
        let done = self.cluster.publish(land, records).await.expect("published");
        let record = done.records.into_iter().next().expect("a record");
        record.position.expect("a position").index
    }

    /// Waits until nodes list all of these services of a Land, and none of those.
    async fn lists(&self, at: &[Land], of: &str, there: &[&str], gone: &[&str]) {
        for land in at {
            eventually(LIMIT, &format!("{land} lists {there:?} of {of}"), async || {
                let ask = ["service", "list", "--land", of];
                let output = self.registry(*land, Who::Reader, &ask);
                let listed = text(&output);
                let has = |it: &&str| listed.contains(it);
                output.status.success() && there.iter().all(has) && !gone.iter().any(has)
            })
            .await;
        }
    }

    /// Waits until the log of a node says this.
    async fn says(&self, land: Land, words: &str) {
        let what = format!("{land} says {words:?}");
        eventually(LIMIT, &what, async || self.cluster.stderr(land).contains(words)).await;
    }

    /// Makes new keys of a log beside the ones in use; the card that names them.
    fn new_keys(&self, land: Land) -> String {
        let public = ["new-log.key", "new-freshness.key"].map(|name| {
            let path = self.cluster.home(land).join(name);
            let mut command = std::process::Command::new(binary("registry-node"));
            command.args(["key", "new", "--unencrypted"]).arg(path);
            let output = command.output().expect("registry-node runs");
            let said = text(&output);
            let line = said.lines().find(|it| it.starts_with("Öffentlich")).map(str::to_owned);
            line.and_then(|it| it.split_whitespace().last().map(str::to_owned)).expect("a key")
        });
        let card = self.card(land);
        let text = fs::read_to_string(&card).expect("card");
        let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        json["log_key"] = public[0].clone().into();
        json["freshness_key"] = public[1].clone().into();
        fs::write(&card, json.to_string()).expect("card");
        card
    }

    /// Changes `[keys]` of a node.
    fn configure(&self, land: Land, change: impl FnOnce(&mut toml::Table)) {
        let path = self.cluster.prepared().config(land);
        let text = fs::read_to_string(&path).expect("configuration");
        let mut table: toml::Table = text.parse().expect("TOML");
        change(table["keys"].as_table_mut().expect("a table"));
        fs::write(&path, table.to_string()).expect("configuration");
    }

    fn digest(&self, path: &str) -> String {
        registry_proto::log::Hash::of(&fs::read(path).expect("a draft")).to_string()
    }

    fn registry(&self, land: Land, who: Who, args: &[&str]) -> Output {
        self.cluster.registry(land, who, args).output().expect("registry runs")
    }

    /// What an operator is told; must succeed.
    #[track_caller]
    fn operator(&self, land: Land, args: &[&str]) -> String {
        let output = self.registry(land, Who::Operator(land), args);
        assert!(output.status.success(), "{land} {args:?}: {}", text(&output));
        text(&output)
    }

    /// Waits until the state of the vote at a node says all of this.
    async fn sees(&self, land: Land, words: &[&str]) {
        eventually(LIMIT, &format!("{land} sees {words:?}"), async || {
            let status = self.registry(land, Who::Reader, &["charter", "status"]);
            words.iter().all(|word| text(&status).contains(word))
        })
        .await;
    }

    /// Waits until nodes run under a charter and know nothing newer.
    async fn follow(&self, laender: &[Land], number: u64) {
        for land in laender {
            let what = format!("{land} follows charter {number}\n{}", self.cluster.stderr(*land));
            eventually(LIMIT, &what, async || {
                let Ok(client) = self.cluster.client(*land, Who::Reader).await else {
                    return false;
                };
                let told = client.charters().await;
                told.is_ok_and(|it| (it.newest, it.followed) == (number, number))
            })
            .await;
        }
    }

    /// Whoever is given a chain hears which step of it is proved; a proof that does not hold is
    /// refused. Leaves a chain without proofs.
    fn tells_what_is_proved(&self, land: Land) {
        let (path, config) = (self.path("for-the-newcomer"), self.cluster.prepared().config(land));
        let config = config.display().to_string();
        let check = || self.node(&["run", "--check", "--config", &config]);
        let raw = fs::read(&path).expect("a chain");
        let (charters, decisions) = Charter::chain_and_decisions(raw.into()).expect("a chain");
        let raw = |it: &[Charter]| it.iter().map(|it| it.raw().clone()).collect::<Vec<_>>();
        let last = charters.last().expect("a charter");

        let proved = text(&check());
        assert!(proved.contains(&last.digest().to_string()), "{proved}");
        assert!(!proved.contains("Ohne Beweis"), "{proved}");
        let shown = text(&self.node(&["charter", "show", &path]));
        assert!(shown.contains("bewiesen, Stimmen von HE, RP, SL"), "{shown}");

        // nobody voted for this one; the proof of another step does not help
        let mut next = last.draft_of_next();
        next.threshold = 5;
        let (forged, _) = last.successor(next.encode_to_vec().into()).expect("a successor");
        let longer = [&charters[..], &[forged]].concat();
        let mut copied = decisions.clone();
        copied.extend(decisions.iter().map(|it| wire::CharterDecision { number: 2, ..it.clone() }));
        fs::write(&path, Charter::encode_chain(raw(&longer), copied)).expect("a chain");
        let refused = check();
        assert_eq!(refused.status.code(), Some(64), "{}", text(&refused));
        assert!(text(&refused).contains("Charta 2 gilt nicht"), "{}", text(&refused));
        fs::write(&path, Charter::encode_chain(raw(&longer), decisions)).expect("a chain");
        let told = text(&check());
        assert!(told.contains("Ohne Beweis der Abstimmung: Charta Nr. 2."), "{told}");

        fs::write(&path, Charter::encode_chain(raw(&charters), Vec::new())).expect("a chain");
        let told = text(&check());
        assert!(told.contains("Ohne Beweis der Abstimmung: Charta Nr. 1."), "{told}");
    }

    /// A draft is held against a chain whose proofs hold, with what it proves.
    fn tells_what_a_draft_rests_on(&self) {
        let (chain, draft) = (self.path("resting"), self.amend("3", &["--threshold", "4"]));
        self.operator(TH, &["charter", "export", &chain]);
        let show = || self.node(&["charter", "show", &draft, "--from", &chain]);
        let shown = text(&show());
        let proved = "Charta Nr. 2: bewiesen, Stimmen von HE, RP, SL";
        assert!(shown.contains(proved) && shown.contains("Schwelle 4 statt 3"), "{shown}");
        let raw = fs::read(&chain).expect("a chain");
        let (charters, mut decisions) = Charter::chain_and_decisions(raw.into()).expect("a chain");
        decisions[1].votes.remove(0);
        let raw: Vec<_> = charters.iter().map(|it| it.raw().clone()).collect();
        let one = decisions[..1].to_vec();
        fs::write(&chain, Charter::encode_chain(raw.clone(), decisions)).expect("a chain");
        let amend =
            self.node(&["charter", "amend", "--threshold", "4", "--from", &chain, "--out", "none"]);
        for refused in [show(), amend] {
            let said = text(&refused);
            assert!(!refused.status.success() && said.contains("Charta 2 gilt nicht"), "{said}");
        }
        fs::write(&chain, Charter::encode_chain(raw, one)).expect("a chain");
        let shown = text(&show());
        assert!(shown.contains("Charta Nr. 2: ohne Beweis"), "{shown}");
    }

    /// Waits until a node has what proves the charters on its disk.
    async fn keeps_proofs(&self, land: Land, numbers: &[u64]) {
        let dir = self.cluster.home(land).join("data/charters");
        let kept = |number: &u64| {
            let raw = fs::read(dir.join(format!("{number:020}.decision"))).unwrap_or_default();
            let proof = wire::CharterDecision::decode(&raw[..]).expect("a proof");
            proof.number == *number && !proof.votes.is_empty()
        };
        let what = format!("{land} keeps the proofs of {numbers:?}");
        eventually(LIMIT, &what, async || numbers.iter().all(kept)).await;
    }

    /// What is held against a chain is held against the votes in it too: broken ones are refused,
    /// missing ones are told. The keys of SL were replaced.
    fn verifies_under_proved_chains(&self, place: &str, chain: &str) {
        let evidence = self.path("evidence");
        fs::write(&evidence, self.convicts_sl().raw()).expect("evidence");
        let raw = fs::read(chain).expect("a chain");
        let (charters, decisions) = Charter::chain_and_decisions(raw.into()).expect("a chain");
        let last = charters.last().expect("a charter").digest().to_string();
        let raw: Vec<_> = charters.iter().map(|it| it.raw().clone()).collect();
        let mut changed = decisions;
        let mut salt = changed[0].votes[0].salt.to_vec();
        salt[0] ^= 1;
        changed[0].votes[0].salt = salt.into();
        let (broken, bare) = (self.path("broken"), self.path("bare"));
        fs::write(&broken, Charter::encode_chain(raw.clone(), changed)).expect("a chain");
        fs::write(&bare, Charter::encode_chain(raw, Vec::new())).expect("a chain");

        let genesis = self.genesis().display().to_string();
        let json = ["proof", place, "-o", "json", "--charter"];
        let client = |file: &str| self.registry(TH, Who::Reader, &[&json[..], &[file]].concat());
        let node = |file: &str| self.node(&["evidence", "verify", &evidence, "--charter", file]);
        let no_proof = "Ohne Beweis der Abstimmung: Charta Nr. 1.";
        for (got, code, there, absent) in [
            (client(chain), 0, last.as_str(), "Achtung"),
            (client(&bare), 0, "keinen Beweis der Abstimmung über Charta Nr. 1", "gilt nicht"),
            (client(&broken), 2, "Abstimmung über Charta 1 gilt nicht", "verified"),
            (node(chain), 0, last.as_str(), no_proof),
            (node(&bare), 0, no_proof, "gilt nicht"),
            (node(&broken), 1, "Abstimmung über Charta 1 gilt nicht", "Der Beweis gilt im"),
            (node(&genesis), 1, "vielleicht ein späterer Schlüssel", "gegen ein Mitglied"),
        ] {
            let said = text(&got);
            assert_eq!(got.status.code(), Some(code), "{there}: {said}");
            assert!(said.contains(there) && !said.contains(absent), "{there}: {said}");
        }
        let shown: serde_json::Value = serde_json::from_slice(&client(&bare).stdout).expect("JSON");
        assert_eq!(shown["charter"]["unproved"][0], serde_json::json!(1), "{shown}");
    }

    /// Two heads of one size that SL signed with its new keys.
    fn convicts_sl(&self) -> Equivocation {
        let genesis = fs::read(self.genesis()).expect("charter");
        let verbund = Charter::parse(genesis.into()).expect("valid").id();
        let key = |name: &str| ensure_key(&self.cluster.home(SL).join(name)).expect("key");
        let signer = LogSigner::new(key("new-log.key"), key("new-freshness.key"));
        let origin = Origin { verbund, log: LogId { land: SL, epoch: 1 } };
        let head = |word: &[u8]| {
            let head = Checkpoint { origin, size: 1_000, root: leaf_hash(word) };
            head.sign(&signer, 1_790_000_000).expect("signed")
        };
        Equivocation::of_one_size(&head(b"one"), &head(b"other")).expect("two histories")
    }

    fn node(&self, args: &[&str]) -> Output {
        let mut command = std::process::Command::new(binary("registry-node"));
        command.args(args).output().expect("registry-node runs")
    }

    /// Gives a newcomer all charters instead of the genesis charter alone.
    fn admit(&self, land: Land) {
        let chain = self.path("for-the-newcomer");
        self.operator(TH, &["charter", "export", &chain]);
        let config = self.cluster.prepared().config(land);
        let text = fs::read_to_string(&config).expect("configuration");
        let mut table: toml::Table = text.parse().expect("TOML");
        table.insert("charter".to_owned(), toml::Value::String(chain));
        fs::write(&config, table.to_string()).expect("configuration");
    }
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    format!("{out}{err}")
}
