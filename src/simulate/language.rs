//! The printer languages: how a raw port tells them apart, and which of them a kind of device knows.
//!
//! A raw port gets bytes and nothing else. What begins with the signature of a language that the device knows is
//! interpreted; everything else is put on paper as text, as a real device does: an HTTP request, a TLS handshake, a PDF
//! sent to a printer that has no PDF. That is `garbage`, unless it reads as text.

use super::profiles::Profile;

/// Bytes that [`recognise`] looks at.
pub(super) const HEAD: usize = 64;

/// One printer language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Pdf,
    PostScript,
    Pcl,
    PclXl,
    Pwg,
    Urf,
    Jpeg,
    Zpl,
    /// Lines of text; every printer takes them.
    Text,
}

/// Name in PJL, other names of it there and in the command sets of a profile, media type.
const NAMES: &[(Language, &[&str], &str)] = &[
    (Language::Pdf, &["PDF"], "application/pdf"),
    (Language::PostScript, &["POSTSCRIPT", "PS", "BRScript", "POSTSCRIPT3"], "application/postscript"),
    (Language::Pcl, &["PCL", "PCL5", "PCL5e", "PCL5c", "PCL3"], "application/vnd.hp-PCL"),
    (Language::PclXl, &["PCLXL", "PCL6", "PXL"], "application/vnd.hp-PCLXL"),
    (Language::Pwg, &["PWGRaster", "PWG"], "image/pwg-raster"),
    (Language::Urf, &["URF", "AppleRaster"], "image/urf"),
    (Language::Jpeg, &["JPEG", "JPG"], "image/jpeg"),
    (Language::Zpl, &["ZPL", "ZPL2"], "application/vnd.zebra-zpl"),
    (Language::Text, &["TEXT", "TXT", "LINEPRINTER"], "text/plain"),
];

const SIGNATURES: &[(&[u8], Language)] = &[
    (b"%PDF-", Language::Pdf),
    (b"%!", Language::PostScript),
    (b"\x04%!", Language::PostScript),
    (b") HP-PCL XL", Language::PclXl),
    (b"RaS2", Language::Pwg),
    (b"UNIRAST\0", Language::Urf),
    (b"\xff\xd8\xff", Language::Jpeg),
    (b"^XA", Language::Zpl),
    (b"\x1bE", Language::Pcl),
    (b"\x1b&", Language::Pcl),
    (b"\x1b*", Language::Pcl),
    (b"\x1b(", Language::Pcl),
    (b"\x1b)", Language::Pcl),
    (b"\x1b%", Language::Pcl),
];

/// What a device makes of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) language: Language,
    /// Text that is none.
    pub(super) garbage: bool,
}

impl Language {
    /// Its media type.
    pub(super) fn format(self) -> &'static str {
        NAMES.iter().find(|(language, _, _)| *language == self).map_or("text/plain", |(_, _, format)| format)
    }

    /// The language of this name in PJL.
    pub(super) fn named(name: &str) -> Option<Language> {
        let known = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name.trim()));
        NAMES.iter().find(|(_, names, _)| known(names)).map(|(language, _, _)| *language)
    }

    /// The name that PJL uses for it.
    pub(super) fn name(self) -> &'static str {
        NAMES.iter().find(|(language, _, _)| *language == self).and_then(|(_, names, _)| names.first()).unwrap_or(&"")
    }

    /// Whether this kind of device has it.
    pub(super) fn known_to(self, profile: &Profile) -> bool {
        self == Language::Text
            || profile.formats.contains(&self.format())
            || profile.commands.split(',').any(|command| Language::named(command) == Some(self))
    }

    /// Those a kind of device has, text left out.
    pub(super) fn of(profile: &Profile) -> Vec<Language> {
        NAMES
            .iter()
            .map(|(language, _, _)| *language)
            .filter(|language| *language != Language::Text && language.known_to(profile))
            .collect()
    }
}

/// What a device of this kind makes of a document that begins like this; `told` is what `ENTER LANGUAGE` said.
pub(super) fn recognise(head: &[u8], told: Option<Language>, profile: &Profile) -> Taken {
    let head = head.get(..HEAD).unwrap_or(head);
    if let Some(language) = told.filter(|language| language.known_to(profile)) {
        return Taken { language, garbage: false };
    }
    // Readers of labels and PDF skip white space in front.
    let trimmed = head.trim_ascii_start();
    let found = SIGNATURES.iter().find(|(signature, language)| {
        let start = if matches!(language, Language::Zpl | Language::Pdf) { trimmed } else { head };
        start.starts_with(signature)
    });
    match found {
        Some((_, language)) if language.known_to(profile) => Taken { language: *language, garbage: false },
        Some(_) => Taken { language: Language::Text, garbage: true },
        None => Taken { language: Language::Text, garbage: !reads_as_text(head) || is_http(head) },
    }
}

/// No control characters but those that move a line printer.
fn reads_as_text(head: &[u8]) -> bool {
    !head.iter().any(|byte| matches!(byte, 0..=6 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f))
}

/// A request line of HTTP/1: what a browser or a scanner sends to any port.
fn is_http(head: &[u8]) -> bool {
    let methods = [&b"GET "[..], b"POST ", b"HEAD ", b"OPTIONS ", b"PUT ", b"CONNECT "];
    methods.iter().any(|method| head.starts_with(method)) && head.windows(7).any(|window| window == b" HTTP/1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::profiles::profile;

    #[test]
    fn what_a_device_does_not_know_is_text() {
        let mono = profile("mono-laser").unwrap();
        let label = profile("label").unwrap();
        let colour = profile("office-colour").unwrap();
        for (head, told, profile, language, garbage) in [
            (&b"%PDF-1.7"[..], None, mono, Language::Pdf, false),
            (b"\xff\xd8\xff", None, colour, Language::Jpeg, false),
            (b"%!PS-Adobe", None, label, Language::Text, true),
            (b"^XA^XZ", None, label, Language::Zpl, false),
            (b"\r\n^XA^XZ", None, label, Language::Zpl, false),
            (b"^XA^XZ", None, mono, Language::Text, true),
            (b"hello", None, mono, Language::Text, false),
            (b"hello", Some(Language::Pcl), mono, Language::Pcl, false),
            (b"hello", Some(Language::Zpl), mono, Language::Text, false),
            (b"GET / HTTP/1.1\r\n", None, mono, Language::Text, true),
            (b"GET ready", None, mono, Language::Text, false),
            (b"\x16\x03\x01\x02\x00", None, mono, Language::Text, true),
            (b"", None, mono, Language::Text, false),
        ] {
            let taken = recognise(head, told, profile);
            assert_eq!(taken, Taken { language, garbage }, "{head:?} {told:?} {}", profile.key);
        }
        assert_eq!(Language::named("postscript"), Some(Language::PostScript));
        assert_eq!(Language::PclXl.name(), "PCLXL");
        assert!(Language::of(mono).contains(&Language::Pcl));
    }
}
