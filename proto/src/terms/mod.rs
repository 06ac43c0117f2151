//! The words of the domain, parsed once at the edge.

mod ars;
mod code;
mod date;
mod land;
mod leistungsadressat;
mod leistungsschluessel;
mod requirement;
mod semver;
mod service_id;
mod themenfeld;
mod typisierung;
mod vertrauensniveau;

pub use ars::{Ars, Ebene, ParseArsError};
pub use code::ParseCodeError;
pub use date::{Date, ParseDateError};
pub use land::{Land, LogId, ParseLandError, ParseLogIdError};
pub use leistungsadressat::Leistungsadressat;
pub use leistungsschluessel::{Leistungsschluessel, Leistungstyp, ParseLeistungsschluesselError};
pub use requirement::{ParseRequirementError, Requirement};
pub use semver::{ParseSemVerError, SemVer};
pub use service_id::{ParseServiceIdError, ServiceId};
pub use themenfeld::Themenfeld;
pub use typisierung::Typisierung;
pub use vertrauensniveau::Vertrauensniveau;
