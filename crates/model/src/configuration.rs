//! The validated configuration: what is watched, who is told, what the page says.
//!
//! It is replicated as bytes with a version in front ([`Configuration::encode`])
//! and activated by one entry. References between its parts hold: the `config`
//! room, which is the only maker of these values from text, has checked them.

use crate::id::{CheckId, LocationId, ReceiverId, ServiceId};
use crate::receiver::Receiver;
use crate::service::{Maintenance, Service};
use serde::{Deserialize, Serialize};

/// Version of the stored form. A field never changes its meaning; a change of
/// form is a new version that can still read the old one.
const VERSION: u8 = 1;

/// Everything that is replicated of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configuration {
    /// What the public page says about itself.
    pub page: Page,
    /// Every location checks may run from; never empty.
    pub locations: Vec<LocationId>,
    /// What is watched, in the order of the page.
    pub services: Vec<Service>,
    /// Who is told.
    pub receivers: Vec<Receiver>,
    /// Planned work.
    pub maintenance: Vec<Maintenance>,
}

/// What the public page says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Name at its head.
    pub name: String,
    /// One sentence below it.
    pub description: Option<String>,
    /// Public address, for links in messages; without a final slash.
    pub url: Option<String>,
}

/// Name of the page when nothing else is said.
pub const PAGE_NAME_DEFAULT: &str = "Status";
/// The only location when none are named.
pub const LOCATION_DEFAULT: &str = "local";

impl Default for Configuration {
    fn default() -> Self {
        let local = LocationId::new(LOCATION_DEFAULT).expect("a legal constant");
        Self {
            page: Page { name: PAGE_NAME_DEFAULT.to_owned(), description: None, url: None },
            locations: vec![local],
            services: Vec::new(),
            receivers: Vec::new(),
            maintenance: Vec::new(),
        }
    }
}

/// Why stored bytes are not a value of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer program.
    #[error("stored with format {found}, this program reads up to {supported}")]
    Newer {
        /// The version found.
        found: u8,
        /// The newest version that can be read.
        supported: u8,
    },
    /// Not the stored form at all.
    #[error("the stored bytes are damaged")]
    Damaged,
}

impl Configuration {
    /// The stored form, with its version in front.
    pub fn encode(&self) -> Vec<u8> {
        encode_versioned(VERSION, self)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`DecodeError`]; nothing is guessed.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut configuration: Self = decode_versioned(VERSION, bytes)?;
        configuration.share_locations();
        Ok(configuration)
    }

    /// Lets all checks name the same locations, rather than each a copy of its own.
    fn share_locations(&mut self) {
        let Self { locations, services, .. } = self;
        let of_checks = services.iter_mut().flat_map(|service| &mut service.checks).flat_map(|check| &mut check.from);
        for named in of_checks {
            if let Some(known) = locations.iter().find(|known| *known == named) {
                *named = known.clone();
            }
        }
    }

    /// All checks with the service they belong to, in order.
    pub fn checks(&self) -> impl Iterator<Item = (&Service, &crate::check::Check)> {
        self.services.iter().flat_map(|service| service.checks.iter().map(move |check| (service, check)))
    }

    /// The check of a name.
    pub fn check(&self, id: &CheckId) -> Option<(&Service, &crate::check::Check)> {
        self.checks().find(|(_, check)| check.id == *id)
    }

    /// The service of a name.
    pub fn service(&self, id: &ServiceId) -> Option<&Service> {
        self.services.iter().find(|service| service.id == *id)
    }

    /// The receiver of a name.
    pub fn receiver(&self, id: &ReceiverId) -> Option<&Receiver> {
        self.receivers.iter().find(|receiver| receiver.id == *id)
    }
}

/// The stored form of a value, its version in front.
pub fn encode_versioned<T: Serialize>(version: u8, value: &T) -> Vec<u8> {
    // Serialising our own types into memory fails only for sequences of
    // unknown length, which none of them has.
    postcard::to_extend(value, vec![version]).expect("own types always encode")
}

/// Reads the stored form of a value, of this version or an older one.
///
/// # Errors
/// [`DecodeError`]; nothing is guessed.
pub fn decode_versioned<T: for<'de> Deserialize<'de>>(supported: u8, bytes: &[u8]) -> Result<T, DecodeError> {
    match bytes.split_first() {
        None | Some((0, _)) => Err(DecodeError::Damaged),
        Some((&found, _)) if found > supported => Err(DecodeError::Newer { found, supported }),
        Some((_, rest)) => match postcard::take_from_bytes(rest) {
            Ok((value, [])) => Ok(value),
            Ok(_) | Err(_) => Err(DecodeError::Damaged),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_survives_its_stored_form() {
        let configuration = Configuration::default();
        assert_eq!(Configuration::decode(&configuration.encode()), Ok(configuration));
    }

    #[test]
    fn a_newer_form_is_refused_by_name() {
        let mut bytes = Configuration::default().encode();
        bytes[0] = VERSION + 1;
        assert_eq!(Configuration::decode(&bytes), Err(DecodeError::Newer { found: VERSION + 1, supported: VERSION }));
        assert_eq!(Configuration::decode(&[]), Err(DecodeError::Damaged));
        let mut long = Configuration::default().encode();
        long.push(0);
        assert_eq!(Configuration::decode(&long), Err(DecodeError::Damaged));
    }
}
