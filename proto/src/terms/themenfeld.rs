//! Themenfelder of the OZG catalogue.

use super::code::code_list;

code_list! {
    /// One of the 14 Themenfelder.
    pub enum Themenfeld {
        ArbeitRuhestand = "arbeit_ruhestand", "Arbeit & Ruhestand";
        BauenWohnen = "bauen_wohnen", "Bauen & Wohnen";
        Bildung = "bildung", "Bildung";
        EinAuswanderung = "ein_auswanderung", "Ein- & Auswanderung";
        EngagementHobby = "engagement_hobby", "Engagement & Hobby";
        FamilieKind = "familie_kind", "Familie & Kind";
        ForschungFoerderung = "forschung_foerderung", "Forschung & Förderung";
        Gesundheit = "gesundheit", "Gesundheit";
        MobilitaetReisen = "mobilitaet_reisen", "Mobilität & Reisen";
        Querschnittsleistungen = "querschnittsleistungen", "Querschnittsleistungen";
        RechtOrdnung = "recht_ordnung", "Recht & Ordnung";
        SteuernZoll = "steuern_zoll", "Steuern & Zoll";
        Umwelt = "umwelt", "Umwelt";
        UnternehmensfuehrungEntwicklung =
            "unternehmensfuehrung_entwicklung", "Unternehmensführung & -entwicklung";
    }
}
