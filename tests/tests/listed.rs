//! A log began again, then members and keys changed: who comes later takes the reset because the
//! charter lists it. Real processes over mTLS.

use std::{
    fs,
    process::{Command, Output},
    time::Duration,
};

use prost::Message as _;
use registry_proto::{
    charter::Charter,
    terms::Land::{self, BY, HE, RP, SL, TH},
    wire::registry as wire,
};
use registry_tests::{
    cluster::{Cluster, Who, binary, eventually, keep_links},
    records::{definition, request, service_id},
};

const FOUNDERS: [Land; 4] = [HE, RP, SL, TH];
const ALL: [Land; 5] = [BY, HE, RP, SL, TH];
const LIMIT: Duration = Duration::from_secs(60);

//     HE - RP        the founders; two of three entries of SL are kept with the consent of HE and RP.
//      | X |         Then BY comes, and HE and SL have other keys. The disks of RP and TH are lost.
//     SL - TH
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_after_members_and_keys_changed_takes_the_reset_that_the_charter_lists() {
    let mut verbund = Verbund::prepare();
    FOUNDERS.iter().for_each(|land| verbund.cluster.run(*land));
    verbund.cluster.wait_open(&FOUNDERS).await;
    for (n, name) in [(1, "Erster"), (2, "Zweiter"), (3, "Dritter")] {
        assert_eq!(verbund.publish(n, name).await, format!("SL/1/{}", n - 1));
    }
    verbund.shows(&FOUNDERS, &["Dritter"], &[]).await;
    verbund.begin_again(2);
    verbund.holds(&FOUNDERS, 1).await;
    verbund.cluster.wait_open(&FOUNDERS).await;
    assert_eq!(verbund.publish(4, "Vierter").await, "SL/2/1");
    verbund.holds(&FOUNDERS, 2).await;
    let listed = verbund.operator(TH, &["epoch", "list"]);
    assert!(listed.contains("nein") && listed.contains("nächsten Entwurf"), "{listed}");

    // the draft lists it by itself; one that does not is refused by whoever has taken it
    let offline = verbund.new_key(SL, "new-offline.key");
    let update = verbund.card(SL, |card| card["offline_key"] = offline.into());
    let freshness = verbund.new_key(HE, "new-freshness.key");
    let rekey = verbund.card(HE, |card| card["freshness_key"] = freshness.into());
    let cut = verbund.operator(RP, &["charter", "cut", "HE"]).trim().to_owned();
    let admit = verbund.card(BY, |_| ());
    let changes = ["--admit", &admit, "--update", &update, "--rekey", &rekey, "--cut", &cut];
    let chain = verbund.export(SL, "founders");
    let silent = verbund.path("silent");
    let raw = fs::read(verbund.genesis()).expect("a charter").into();
    fs::write(&silent, Charter::encode_chain(vec![raw], Vec::new())).expect("written");
    let without = verbund.amend(&silent, "without", &changes);
    let refused = verbund.registry(SL, &["charter", "propose", &without]);
    assert!(text(&refused).contains("RESET_UNLISTED"), "{}", text(&refused));
    // a place is named in the epoch that goes on; one in the epoch that ended would end that too
    let place = verbund.operator(RP, &["charter", "cut", "SL"]);
    assert!(place.starts_with("SL/2/"), "{place}");
    let ended = format!("SL/1/2/{}", "5".repeat(64));
    let ended = verbund.amend(&chain, "ended", &["--suspend", "SL", "--cut", &ended]);
    let refused = verbund.registry(RP, &["charter", "propose", &ended]);
    assert!(text(&refused).contains("CUT_ENDED"), "{}", text(&refused));
    verbund.next_freshness(HE, "new-freshness.key").await;
    let next = verbund.amend(&chain, "next", &changes);
    let told = verbund.operator(SL, &["charter", "propose", &next]);
    assert!(told.contains("SL/1 ist beendet, Zurücksetzung "), "{told}");
    for land in [RP, TH] {
        let vote = ["charter", "propose", &next];
        verbund.operator(land, &vote);
    }
    verbund.follow(&FOUNDERS, 1).await;
    verbund.cluster.wait_open(&FOUNDERS).await;
    let listed = verbund.operator(TH, &["epoch", "list"]);
    assert!(listed.contains("seit Nr. 1"), "{listed}");
    let shown = verbund.operator(TH, &["charter", "show"]);
    assert!(shown.contains("SL/1  Zurücksetzung "), "{shown}");

    // the newcomer, an empty disk with all charters, and one with the first alone
    for land in [RP, TH] {
        verbund.cluster.kill(land);
        fs::remove_dir_all(verbund.cluster.home(land).join("data")).expect("removed");
    }
    let chain = verbund.export(SL, "all");
    for land in [BY, RP] {
        verbund.set(land, "charter", &chain);
    }
    [BY, RP, TH].iter().for_each(|land| verbund.cluster.run(*land));
    verbund.holds(&ALL, 2).await;
    verbund.cluster.wait_open(&ALL).await;
    verbund.follow(&ALL, 1).await;
    assert!(verbund.publish(5, "Fünfter").await.starts_with("SL/2/"));
    verbund.shows(&ALL, &["Erster", "Zweiter", "Vierter", "Fünfter"], &["Dritter"]).await;
    for land in ALL {
        let said = verbund.cluster.stderr(land);
        assert!(!said.contains("sent a reset of a log that does not count"), "{land}\n{said}");
    }
    let metrics = verbund.cluster.metrics(BY).await;
    let faults = metrics.lines().filter(|it| it.starts_with("registry_peer_faults_total"));
    let faults: Vec<_> = faults.filter(|it| !it.ends_with(" 0")).collect();
    assert!(faults.is_empty(), "{faults:?}");
}

//     HE - RP        SL is away with a complete reset in its hand, and the others give HE another key.
//      | X |         It takes the reset before it hears of that, so it counts for nobody else.
//     SL - TH
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_that_was_taken_while_the_charter_changed_is_listed_by_those_who_cannot_take_it() {
    let others = [HE, RP, TH];
    let mut verbund = Verbund::prepare();
    FOUNDERS.iter().for_each(|land| verbund.cluster.run(*land));
    verbund.cluster.wait_open(&FOUNDERS).await;
    for (n, name) in [(1, "Erster"), (2, "Zweiter"), (3, "Dritter")] {
        assert_eq!(verbund.publish(n, name).await, format!("SL/1/{}", n - 1));
    }
    verbund.shows(&FOUNDERS, &["Dritter"], &[]).await;
    let reset = verbund.agree(2);
    let freshness = verbund.new_key(HE, "new-freshness.key");
    verbund.next_freshness(HE, "new-freshness.key").await;
    verbund.cluster.kill(SL);

    let rekey = verbund.card(HE, |card| card["freshness_key"] = freshness.into());
    let cut = verbund.operator(RP, &["charter", "cut", "HE"]).trim().to_owned();
    let chain = verbund.export(RP, "founders");
    let next = verbund.amend(&chain, "next", &["--rekey", &rekey, "--cut", &cut]);
    for land in others {
        verbund.operator(land, &["charter", "propose", &next]);
    }
    verbund.follow(&others, 1).await;
    verbund.cluster.wait_open(&others).await;
    // whoever agreed with a key that is replaced can agree to the same one again
    let again = verbund.path("again.reset");
    fs::copy(&reset, &again).expect("copied");
    let said = verbund.operator(HE, &["epoch", "countersign", &again]);
    assert!(said.contains("genug Zustimmungen"), "{said}");

    // nobody answers while SL takes it under the charter that it knows
    others.iter().for_each(|land| verbund.cluster.freeze(*land));
    verbund.cluster.run(SL);
    eventually(LIMIT, "SL takes the reset", async || {
        verbund.registry(SL, &["epoch", "apply", &reset]).status.success()
    })
    .await;
    others.iter().for_each(|land| verbund.cluster.thaw(*land));
    verbund.follow(&FOUNDERS, 1).await;
    let lapse = "registry_partner_lapses_total{land=\"SL\",lapse=\"uncounted_reset\"}";
    for land in others {
        verbund.cluster.saw(land, lapse, &[]).await;
    }
    verbund.cluster.wait_open(&others).await;

    // SL may not write before others follow its new epoch: they list what they cannot take yet
    let chain = verbund.export(SL, "taken");
    let next = verbund.amend(&chain, "listing", &[]);
    for land in others {
        let told = verbund.operator(land, &["charter", "propose", &next]);
        assert!(told.contains("SL/1 ist beendet, Zurücksetzung "), "{told}");
    }
    verbund.follow(&FOUNDERS, 2).await;
    verbund.cluster.wait_open(&FOUNDERS).await;
    assert!(verbund.publish(4, "Vierter").await.starts_with("SL/2/"));
    verbund.holds(&FOUNDERS, 2).await;
    verbund.shows(&FOUNDERS, &["Erster", "Zweiter", "Vierter"], &["Dritter"]).await;
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
        let among: Vec<_> = links.into_iter().filter(|(a, b)| *a != BY && *b != BY).collect();
        let verbund = Self { cluster, members };
        for land in ALL {
            if land != BY {
                keep_links(&verbund.cluster.prepared().config(land), land, &among);
            }
            // nobody else signs here; the real default takes more than a minute
            verbund.configure(land, |table| {
                let fence = toml::Table::from_iter([("quiet".to_owned(), "2s".into())]);
                table.insert("fence".to_owned(), fence.into());
            });
        }
        verbund
    }

    fn genesis(&self) -> String {
        self.cluster.prepared().charter().display().to_string()
    }

    fn path(&self, name: &str) -> String {
        self.cluster.dir().join(name).display().to_string()
    }

    fn configure(&self, land: Land, change: impl FnOnce(&mut toml::Table)) {
        let path = self.cluster.prepared().config(land);
        let text = fs::read_to_string(&path).expect("configuration");
        let mut table: toml::Table = text.parse().expect("TOML");
        change(&mut table);
        fs::write(&path, table.to_string()).expect("configuration");
    }

    fn set(&self, land: Land, name: &str, value: &str) {
        self.configure(land, |table| {
            table.insert(name.to_owned(), value.into());
        });
    }

    /// The log of SL begins again behind its first entries, with the consent of HE and RP.
    fn begin_again(&self, size: u64) {
        let reset = self.agree(size);
        self.operator(HE, &["epoch", "apply", &reset]);
    }

    /// A reset of SL with the consent of HE and RP, which nobody has taken; its file.
    fn agree(&self, size: u64) -> String {
        let config = self.cluster.prepared().config(SL).display().to_string();
        let (stand, reset) = (self.path("stand.toml"), self.path("sl.reset"));
        let key = self.cluster.home(SL).join("offline.key").display().to_string();
        let size = size.to_string();
        node(&["epoch", "stand", "--config", &config, "--size", &size, "--out", &stand]);
        let signed = ["--key", &key, "--reason", "verloren", "--out", &reset];
        node(&[&["epoch", "reset", "--stand", &stand], &signed[..]].concat());
        for land in [RP, HE] {
            self.operator(land, &["epoch", "countersign", &reset]);
        }
        reset
    }

    /// The card of a Land, changed.
    fn card(&self, land: Land, change: impl FnOnce(&mut serde_json::Value)) -> String {
        let member = self.members.iter().find(|it| it.land == land.code()).expect("prepared");
        let anchor = self.cluster.prepared().pki.anchor(land);
        let mut card = serde_json::json!({
            "land": member.land,
            "log_key": hex::encode(&member.log_key),
            "freshness_key": hex::encode(&member.freshness_key),
            "offline_key": hex::encode(&member.offline_key),
            "nodes": [{ "name": member.nodes[0].name, "spki_pins": [] }],
            "anchors": [fs::read_to_string(anchor).expect("anchor")],
        });
        change(&mut card);
        let path = self.path(&format!("{land}.json"));
        fs::write(&path, card.to_string()).expect("card");
        path
    }

    /// A new key in the directory of a Land; its public half.
    fn new_key(&self, land: Land, name: &str) -> String {
        let path = self.cluster.home(land).join(name).display().to_string();
        let said = node(&["key", "new", "--unencrypted", &path]);
        let line = said.lines().find(|it| it.starts_with("Öffentlich"));
        line.and_then(|it| it.split_whitespace().last()).expect("a key").to_owned()
    }

    /// Tells a node its next freshness key.
    async fn next_freshness(&mut self, land: Land, file: &str) {
        self.configure(land, |table| {
            let keys = table["keys"].as_table_mut().expect("a table");
            keys.insert("next_freshness".to_owned(), file.into());
        });
        self.cluster.kill(land);
        self.cluster.run(land);
        self.cluster.wait_open(&[land]).await;
    }

    /// All charters as a node tells them, in a file.
    fn export(&self, land: Land, name: &str) -> String {
        let path = self.path(&format!("{name}.binpb"));
        self.operator(land, &["charter", "export", &path]);
        path
    }

    /// Drafts a successor of the last of these charters; its file.
    fn amend(&self, chain: &str, name: &str, args: &[&str]) -> String {
        let out = self.path(&format!("{name}.binpb"));
        node(&[&["charter", "amend", "--from", chain, "--out", &out], args].concat());
        out
    }

    fn registry(&self, land: Land, args: &[&str]) -> Output {
        self.cluster.registry(land, Who::Operator(land), args).output().expect("registry runs")
    }

    #[track_caller]
    fn operator(&self, land: Land, args: &[&str]) -> String {
        let output = self.registry(land, args);
        assert!(output.status.success(), "{land} {args:?}: {}", text(&output));
        text(&output)
    }

    /// Publishes at SL, held by another Land; answers where it stands.
    async fn publish(&self, n: u64, name: &str) -> String {
        let mut record = request(vec![definition(&service_id(n), name)], vec![]);
        record.ack_peers = 1;
        let answer = self.cluster.publish(SL, record).await.expect("published");
        let at = answer.records[0].position.as_ref().expect("a place");
        format!("{}/{}/{}", at.land, at.epoch, at.index)
    }

    /// Waits until nodes hold so much of the second epoch of SL, and what counts of the first.
    async fn holds(&self, laender: &[Land], size: u64) {
        for land in laender {
            let what = format!("{land} holds {size} of SL/2\n{}", self.cluster.stderr(*land));
            eventually(LIMIT, &what, async || {
                let Ok(status) = self.cluster.status(*land).await else { return false };
                let of = |epoch| status.logs.iter().find(|it| it.land == "SL" && it.epoch == epoch);
                of(1).is_some_and(|it| it.folded == 2) && of(2).is_some_and(|it| it.size >= size)
            })
            .await;
        }
    }

    /// Waits until nodes list these services of SL and none of the others.
    async fn shows(&self, laender: &[Land], there: &[&str], gone: &[&str]) {
        for land in laender {
            eventually(LIMIT, &format!("{land} lists {there:?} without {gone:?}"), async || {
                let listed = self.registry(*land, &["service", "list", "--land", "SL"]);
                let listed = text(&listed);
                let has = |it: &&str| listed.contains(it);
                there.iter().all(has) && !gone.iter().any(has)
            })
            .await;
        }
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
}

#[track_caller]
fn node(args: &[&str]) -> String {
    let output = Command::new(binary("registry-node")).args(args).output();
    let output = output.expect("registry-node runs");
    assert!(output.status.success(), "{args:?}: {}", text(&output));
    text(&output)
}

fn text(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    format!("{out}{err}")
}
