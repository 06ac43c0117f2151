use super::*;

fn ars(text: &str) -> Ars {
    text.parse().unwrap()
}

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

#[test]
fn the_four_laender_have_their_known_numbers_of_areas() {
    let all = Gemeindeverzeichnis::shipped();
    let count = |land: &str, ebene| all.parts(&ars(land), ebene).count();
    for (land, kreise, verbaende, gemeinden) in
        [("10", 6, 53, 53), ("07", 36, 171, 2_302), ("16", 22, 189, 624)]
    {
        assert_eq!(count(land, Ebene::Kreis), kreise);
        assert_eq!(count(land, Ebene::Gemeindeverband), verbaende);
        assert_eq!(count(land, Ebene::Gemeinde), gemeinden);
    }
    // one more of each than the Gebietsstand has: Hanau as a kreisfreie Stadt
    assert_eq!(count("06", Ebene::Regierungsbezirk), 3);
    assert_eq!(count("06", Ebene::Kreis), 26 + 1);
    assert_eq!(count("06", Ebene::Gemeinde), 425 + 1);
    assert_eq!(count("00", Ebene::Land), 16);
    assert_eq!(all.len(), 16_035 - 12 + 1 + 3, "without regions, with the Bund and Hanau");
    assert_eq!(all.stand(), day("2023-11-30"));
    assert_eq!(all.known_until(), day("2026-01-01"));
}

#[test]
fn the_gemeinden_of_hessen_stay_425() {
    let all = Gemeindeverzeichnis::shipped();
    for today in ["2023-11-30", "2025-12-31", "2026-01-01"] {
        assert_eq!(all.gemeinden(&ars("06"), day(today)).count(), 425, "{today}");
    }
    let main_kinzig = ars("06435");
    let names = |today| -> Vec<Ars> {
        all.gemeinden(&main_kinzig, day(today)).map(|area| area.ars).collect()
    };
    assert!(names("2025-12-31").contains(&ars("064350014014")));
    assert!(!names("2026-01-01").contains(&ars("064350014014")));
}

#[test]
fn an_area_lies_in_a_chain_of_areas() {
    let all = Gemeindeverzeichnis::shipped();
    let names = |text: &str| -> Vec<String> {
        all.chain(&ars(text)).map(|area| format!("{} {}", area.ars, area.name)).collect()
    };
    assert_eq!(
        names("100410100100"),
        [
            "100410100100 Saarbrücken, Landeshauptstadt",
            "100410100 Saarbrücken, Landeshauptstadt",
            "10041 Regionalverband Saarbrücken",
            "10 Saarland",
            "00 Bundesgebiet",
        ]
    );
    assert_eq!(names("00"), ["00 Bundesgebiet"]);
    assert_eq!(names("109")[0], "10 Saarland");
    assert_eq!(names("064")[0], "064 Reg.-Bez. Darmstadt");
}

#[test]
fn hanau_has_a_successor() {
    let all = Gemeindeverzeichnis::shipped();
    let before = all.find(&ars("064350014014")).expect("known");
    let end = before.abgeloest.as_ref().expect("replaced");
    assert_eq!(
        (end.ab, end.nachfolger.as_slice()),
        (day("2026-01-01"), &[ars("064150000000")][..])
    );
    assert_eq!(all.successors(&before.ars), [ars("064150000000")]);
    for text in ["06415", "064150000", "064150000000"] {
        let area = all.find(&ars(text)).expect("known");
        assert_eq!(area.seit, Some(day("2026-01-01")));
        assert_eq!(&*area.name, "Hanau, Brüder-Grimm-Stadt");
        assert_eq!(all.successors(&area.ars), []);
    }
}

#[test]
fn a_mistaken_key_meets_the_area_beside_it() {
    let all = Gemeindeverzeichnis::shipped();
    let near = |text: &str| all.nearest(&ars(text)).map(|area| area.ars.to_string());
    assert_eq!(near("100410100101").as_deref(), Some("100410100100"));
    assert_eq!(near("10040").as_deref(), Some("10041"));
    assert_eq!(near("109").as_deref(), Some("10"));
    assert_eq!(near("100419999999").as_deref(), Some("100410519519"));
}

#[test]
fn names_are_found_in_any_spelling() {
    let all = Gemeindeverzeichnis::shipped();
    let found = |query: &str, limit| -> Vec<String> {
        all.search(query, limit).iter().map(|area| area.ars.to_string()).collect()
    };
    assert_eq!(found("saarbruecken", 1), ["100410100"]);
    assert_eq!(found("SAARBRÜCKEN", 9), found("saarbruecken", 9));
    assert_eq!(found("Saarland", 1), ["10"]);
    assert_eq!(found("landeshauptstadt saar", 9), ["100410100", "100410100100"]);
    assert_eq!(found("", 9), [""; 0]);
    assert_eq!(found("gibtesnicht", 9), [""; 0]);
    assert_eq!(found("a", 25).len(), 25);
}

#[test]
fn damaged_files_are_errors() {
    let head = "ars,ags,ebene,name,kennzeichen,stand\n";
    let good = format!("{head}10,10,Land,Saarland,,20231130\n10041,,Kreis,Saar,44,20231130\n");
    let next = "ars,nachfolger,name,ab\n";
    let parse = |areas: &str, next: &str| Gemeindeverzeichnis::parse(areas, next);
    assert_eq!(parse(&good, next).expect("good").len(), 3);
    for bad in [
        "",
        head,
        "ars,name\n10,Saarland\n",
        &format!("{head}17,17,Land,Nirgends,,20231130\n"),
        &format!("{head}10,10,Kreis,Saarland,,20231130\n"),
        &format!("{head}10,10,Land,,,20231130\n"),
        &format!("{head}10,10,Land,Saarland,,20231131\n"),
        &format!("{head}10,10,Land,Saarland,,2023ä30\n"),
        &format!("{good}10,10,Land,Saarland,,20231130\n"),
        &format!("{good}11,11,Land,Berlin,,20240101\n"),
        &format!("{good}00,,Bund,Bund,,20231130\n"),
    ] {
        assert!(parse(bad, next).is_err(), "{bad}");
    }
    for bad in [
        "10041,10042,Saar,2023-11-30\n",
        "10041,10041,Saar,2026-01-01\n",
        "10043,10042,Saar,2026-01-01\n",
        "10041,1004,Saar,2026-01-01\n",
        "10041,10042,Saar,2026-02-30\n",
        "10041,10042,Saar,2026-01-01\n10041,10042,Saar,2026-01-01\n",
        "10041,10042,Saar,2026-01-01\n10041,10043,Saar,2026-01-02\n",
    ] {
        assert!(parse(&good, &format!("{next}{bad}")).is_err(), "{bad}");
    }
}

#[test]
fn successors_that_turn_in_circles_end() {
    let areas = "ars,ags,ebene,name,kennzeichen,stand\n\
                 10041,,Kreis,A,44,20231130\n10042,,Kreis,B,44,20231130\n";
    let next = "ars,nachfolger,name,ab\n\
                10041,10042,B,2026-01-01\n10042,10041,A,2027-01-01\n";
    let all = Gemeindeverzeichnis::parse(areas, next).expect("good");
    assert_eq!(all.successors(&ars("10041")), []);
}
