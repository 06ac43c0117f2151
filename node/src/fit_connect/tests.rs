//! A throw-away PKI signs what a delivery service would.

use std::sync::OnceLock;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine};
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA512, RsaKeySize, date_time_ymd,
};
use rustls::{
    SignatureScheme,
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::json;

use super::*;

/// A CA with a root above it, and keys that it vouches for.
struct Pki {
    root: CertificateDer<'static>,
    stranger: CertificateDer<'static>,
    ca: CertificateDer<'static>,
    /// Keys of 4096 and 3072 bits.
    long: KeyPair,
    short: KeyPair,
    /// Certificates of the long key: sound, expired in 2020, for encryption only.
    sound: CertificateDer<'static>,
    expired: CertificateDer<'static>,
    encrypting: CertificateDer<'static>,
    /// Certificate of the short key.
    weak: CertificateDer<'static>,
}

// === impl Pki ===

impl Pki {
    fn shared() -> &'static Self {
        static PKI: OnceLock<Pki> = OnceLock::new();
        PKI.get_or_init(Self::new)
    }

    fn new() -> Self {
        let curve = || KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let rsa = |size| KeyPair::generate_rsa_for(&PKCS_RSA_SHA512, size).unwrap();
        let (root_key, ca_key, long) = (curve(), curve(), rsa(RsaKeySize::_4096));
        let root = params("Wurzel", 2020, None).self_signed(&root_key).unwrap();
        let stranger = params("Wurzel", 2020, None).self_signed(&curve()).unwrap();
        let issuer = Issuer::new(params("Wurzel", 2020, None), root_key);
        let ca = params("Aussteller", 2020, None).signed_by(&ca_key, &issuer).unwrap();
        let issuer = Issuer::new(params("Aussteller", 2020, None), ca_key);
        let leaf = |from, usage, key: &KeyPair| {
            let params = params("Zustelldienst", from, Some(usage));
            params.signed_by(key, &issuer).unwrap().der().clone()
        };
        let short = rsa(RsaKeySize::_3072);
        let signs = KeyUsagePurpose::DigitalSignature;
        Self {
            root: root.der().clone(),
            stranger: stranger.der().clone(),
            ca: ca.der().clone(),
            sound: leaf(2020, signs, &long),
            expired: leaf(1990, signs, &long),
            encrypting: leaf(2020, KeyUsagePurpose::KeyEncipherment, &long),
            weak: leaf(2020, signs, &short),
            long,
            short,
        }
    }
}

/// A certificate valid for 30 years from this one; of a CA without a usage.
fn params(name: &str, from: i32, usage: Option<KeyUsagePurpose>) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(from + 30, 1, 1);
    match usage {
        None => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
        Some(usage) => params.key_usages = vec![usage],
    }
    params
}

fn x5c(chain: &[&CertificateDer<'_>]) -> Value {
    chain.iter().map(|it| BASE64_STANDARD.encode(it)).collect()
}

fn signed(header: &Value, key: &KeyPair, scheme: SignatureScheme) -> String {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(header), encode(&json!({"destinationId": "d"})));
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signer = any_supported_type(&key).unwrap().choose_scheme(&[scheme]).unwrap();
    let signature = BASE64_URL_SAFE_NO_PAD.encode(signer.sign(text.as_bytes()).unwrap());
    format!("{text}.{signature}")
}

fn ps512(header: &Value) -> String {
    signed(header, &Pki::shared().long, SignatureScheme::RSA_PSS_SHA512)
}

/// 2026-11-25.
const NOW: u64 = 1_795_600_000;

fn roots(roots: &[&CertificateDer<'static>], keys: Vec<Key>) -> Roots {
    let roots: Vec<_> = roots.iter().map(|it| (*it).clone()).collect();
    Roots::new(&roots, keys).unwrap()
}

/// `Ok`, "?" with what is said of a signature that cannot be checked, or "!" with what is wrong.
#[track_caller]
fn check_at(roots: &Roots, now: u64, jws: &str, expect: &str) {
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now));
    let got = match (At { roots, now }).verify(jws) {
        Ok(()) => "Ok".to_owned(),
        Err(Doubt::Unchecked(text)) => format!("? {text}"),
        Err(Doubt::Wrong(text)) => format!("! {text}"),
    };
    assert!(got.starts_with(expect), "{got:?}, expected {expect:?}");
}

#[track_caller]
fn check(jws: &str, expect: &str) {
    check_at(&roots(&[&Pki::shared().root], vec![]), NOW, jws, expect);
}

#[test]
fn a_signature_counts_under_a_trusted_root_only() {
    let pki = Pki::shared();
    let good = ps512(&json!({"alg": "PS512", "x5c": x5c(&[&pki.sound, &pki.ca])}));
    check(&good, "Ok");
    let (known, other) = (roots(&[&pki.root], vec![]), roots(&[&pki.stranger], vec![]));
    check_at(&other, NOW, &good, "! die Kette führt zu keiner der Wurzeln");
    check_at(&Roots::default(), NOW, &good, "? Signatur nicht geprüft: an diesem Knoten");
    check_at(&known, 1_500_000_000, &good, "! ein Zertifikat der Kette gilt noch nicht");
    check_at(&known, 2_600_000_000, &good, "! ein Zertifikat der Kette ist abgelaufen");
    // the sender cannot bring a root of its own
    let alone = ps512(&json!({"alg": "PS512", "x5c": x5c(&[&pki.sound])}));
    check(&alone, "! die Kette führt zu keiner der Wurzeln");
    let own = ps512(&json!({"alg": "PS512", "x5c": x5c(&[&pki.sound, &pki.ca, &pki.root])}));
    check_at(&other, NOW, &own, "! die Kette führt zu keiner der Wurzeln");
}

#[test]
fn the_key_must_be_one_that_may_sign() {
    let pki = Pki::shared();
    let with = |leaf| ps512(&json!({"alg": "PS512", "x5c": x5c(&[leaf, &pki.ca])}));
    check(&with(&pki.expired), "! ein Zertifikat der Kette ist abgelaufen");
    check(&with(&pki.encrypting), "! das Zertifikat ist nicht zum Signieren bestimmt");
    check(&with(&pki.ca), "! der Schlüssel ist kein RSA-Schlüssel");
    let header = json!({"alg": "PS512", "x5c": x5c(&[&pki.weak, &pki.ca])});
    let weak = signed(&header, &pki.short, SignatureScheme::RSA_PSS_SHA512);
    check(&weak, "! der Schlüssel hat 3072 Bit");
}

#[test]
fn what_was_not_signed_so_is_refused() {
    let pki = Pki::shared();
    let header = json!({"alg": "PS512", "x5c": x5c(&[&pki.sound, &pki.ca])});
    let good = ps512(&header);
    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let payload = BASE64_URL_SAFE_NO_PAD.encode(r#"{"destinationId":"e"}"#);
    let tampered = format!("{head}.{payload}.{signature}");
    check(&tampered, "! die Signatur passt nicht");
    let other_key = signed(&header, &pki.short, SignatureScheme::RSA_PSS_SHA512);
    check(&other_key, "! die Signatur passt nicht");
    for scheme in [SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA512] {
        check(&signed(&header, &pki.long, scheme), "! die Signatur passt nicht");
    }
    check(&format!("{head}.{payload}."), "! die Signatur passt nicht");
    check(&format!("{head}.{payload}"), "! die Signatur ist keine Compact-JWS");
    check(&format!("{good}.x"), "! die Signatur ist keine Compact-JWS");
}

#[test]
fn the_header_cannot_ask_for_less() {
    let pki = Pki::shared();
    let chain = x5c(&[&pki.sound, &pki.ca]);
    for alg in [json!("none"), json!("RS256"), json!("PS256"), json!("HS512"), json!(null)] {
        check(&ps512(&json!({"alg": alg, "x5c": chain})), "! das Verfahren der JWS");
    }
    check(&ps512(&json!({"x5c": chain})), "! das Verfahren der JWS");
    let crit = json!({"alg": "PS512", "x5c": chain, "crit": ["b64"], "b64": false});
    check(&ps512(&crit), "! der Kopf der JWS verlangt Erweiterungen");
    check(&ps512(&json!([])), "! der Kopf der JWS ist kein JSON-Objekt");
    for bad in [json!([]), json!("x"), json!([1]), json!(["?"]), json!(vec!["YQ=="; 9])] {
        check(&ps512(&json!({"alg": "PS512", "x5c": bad})), "! x5c");
    }
    check(&ps512(&json!({"alg": "PS512", "x5c": ["YQ=="]})), "! das erste Zertifikat");
    // without roots nothing is verified, but what can never count is refused all the same
    let none = ps512(&json!({"alg": "none", "x5c": chain}));
    check_at(&Roots::default(), NOW, &none, "! das Verfahren der JWS");
}

#[test]
fn a_name_counts_if_the_operator_knows_its_key() {
    let pki = Pki::shared();
    let named = ps512(&json!({"alg": "PS512", "kid": "k-1"}));
    check(&named, "? Signatur nicht geprüft: ihr Kopf enthält keine Zertifikate");
    check(&ps512(&json!({"alg": "PS512"})), "? Signatur nicht geprüft: ihr Kopf nennt weder");
    let jwks = json!({"keys": [
        {"kid": "k-0", "use": "enc", "kty": "RSA"},
        {"kid": "k-1", "use": "sig", "kty": "RSA", "x5c": x5c(&[&pki.sound, &pki.ca])},
    ]});
    let known = keys(jwks.to_string().as_bytes()).unwrap();
    assert_eq!(known.iter().map(|it| it.kid.as_str()).collect::<Vec<_>>(), ["k-1"]);
    check_at(&roots(&[&pki.root], known.clone()), NOW, &named, "Ok");
    check_at(&roots(&[&pki.stranger], known.clone()), NOW, &named, "! die Kette führt zu keiner");
    check_at(&roots(&[], known.clone()), NOW, &named, "? Signatur nicht geprüft: an diesem Knoten");
    let other = ps512(&json!({"alg": "PS512", "kid": "k-2"}));
    check_at(&roots(&[&pki.root], known), NOW, &other, "? Signatur nicht geprüft: ihr Kopf");
}

#[test]
fn a_jwks_that_no_root_could_vouch_for_is_refused() {
    let sound = x5c(&[&Pki::shared().sound]);
    for (jwks, expect) in [
        (json!([]), "ist kein JWKS"),
        (json!({"keys": vec![json!({"use": "enc"}); KEYS_MAX + 1]}), "ist kein JWKS"),
        (json!({"keys": [{"x5c": sound}]}), "Schlüssel [0]: hat kein kid"),
        (json!({"keys": [{"kid": "a", "n": "AQAB"}]}), "Schlüssel a: hat kein x5c"),
        (json!({"keys": [{"kid": "a", "x5c": []}]}), "Schlüssel a: sein x5c"),
        (
            json!({"keys": [{"kid": "a", "x5c": sound}, {"kid": "a", "x5c": sound}]}),
            "Schlüssel a: steht",
        ),
    ] {
        let error = keys(jwks.to_string().as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(expect), "{error}");
    }
}
