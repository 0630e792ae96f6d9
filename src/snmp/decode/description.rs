//! A device's description of itself (sysDescr, hrDeviceDescr) → maker, model, serial number, firmware, and what kind of
//! thing describes itself there. Pure and total.
//!
//! There is no standard for these texts. What makers write:
//!
//! | form | example |
//! |---|---|
//! | model, `/P` | `Canon iR-ADV C5235 /P` |
//! | model and firmware, then its units behind ` / ` | `RICOH MP 3053 1.09 / RICOH Network Printer C model` |
//! | model `version` firmware `kernel` … (Lexmark, and what Lexmark makes for others) | `Dell 2330dn Laser Printer version NR.APS.N449 kernel 2.6.18.5 All-N-1` |
//! | model, units and firmware behind `;` or `,`, serial number behind `S/N` or `SN` | `Samsung CLX-3170 Series;V1.00.01.64 Sep-27-2010;Engine 1.77.81;S/N …` |
//! | model, serial number, firmware (Lexmark's hrDeviceDescr) | `Dell S5830dn 7XQ1R92 LW62.DN4.P636` |
//! | pairs behind a fixed text | `HP ETHERNET MULTI-ENVIRONMENT,SN:…,FN:…,SVCID:…,PID:HP LaserJet P2015 Series` |
//! | the network card, not the printer | `Brother NC-8300h, Firmware Ver.1.01 …`, `EPSON Built-in 10Base-T/100Base-TX Print Server` |
//! | a print server and what is connected to it | `OKI OkiLAN 8500e Rev.01.23 … PrintServer: Attached to MC342 Rev.02.70 : …` |
//! | nothing but the maker | `KYOCERA Document Solutions Printing System`, `Zebra Wired` |

use crate::domain::makers::{self, Maker, Sells};

/// What describes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Nature {
    /// Nothing in the text says.
    #[default]
    Unsaid,
    /// A printer, or a device that prints among other things.
    Printer,
    /// The network card in a printer.
    Card,
    /// A print server that names no printer.
    PrintServer,
    /// Something else: a scanner, a switch, a computer.
    Other,
}

/// What a description says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Described {
    /// The maker in front, or the one of the product line in front.
    pub(super) maker: Option<&'static Maker>,
    /// The model without maker and version.
    pub(super) model: Option<String>,
    pub(super) serial: Option<String>,
    pub(super) firmware: Option<String>,
    pub(super) nature: Nature,
}

/// Characters of a description that are looked at.
const MAX_TEXT: usize = 512;

/// Reads a description.
pub(super) fn describe(text: &str) -> Described {
    let text: String = text.chars().take(MAX_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = text.trim();
    let lower = text.to_lowercase();
    if text.is_empty() {
        return Described::default();
    }
    if let Some(pairs) = jetdirect(text, &lower) {
        return pairs;
    }
    if let Some(connected) = behind(text, &lower, "attached to ") {
        // The maker of the server is the printer's.
        let maker = makers::of_text(text);
        let mut found = plain(connected, &connected.to_lowercase());
        found.maker = found.maker.or(maker);
        found.nature = Nature::Printer;
        return found;
    }
    plain(text, &lower)
}

/// HP's print servers and those that copy their text; a printer's product is in `PID`.
fn jetdirect(text: &str, lower: &str) -> Option<Described> {
    let known = lower.contains("ethernet multi-environment") || (lower.contains("jetdirect") && lower.contains("rom "));
    if !known {
        return None;
    }
    let value = |key: &str| behind(text, lower, key).map(|rest| rest.split(',').next().unwrap_or_default().trim());
    let maker = makers::of_text(text);
    let product = behind(text, lower, ",pid:").map(str::trim).filter(|product| !product.is_empty());
    let Some(product) = product else {
        return Some(Described { maker, nature: Nature::PrintServer, ..Described::default() });
    };
    let named = plain(product, &product.to_lowercase());
    Some(Described {
        maker: named.maker.or(maker),
        // Administrators may write another name here.
        model: named.model,
        serial: value(",sn:").and_then(word),
        firmware: None,
        nature: Nature::Printer,
    })
}

fn plain(text: &str, lower: &str) -> Described {
    let split = makers::split(text);
    let maker = split.maker.or_else(|| makers::of_line(text));
    let head = first_part(split.model);
    let (model, firmware, serial) = model_words(head);
    // What is named by its product is no card, whatever card it lists behind.
    let is_product = || model.as_deref().is_some_and(|model| makers::of_line(model).is_some());
    let card = is_card(&head.to_lowercase()) || (is_card(lower) && !is_product());
    let model = model.filter(|model| !card && !is_generic(model));
    let firmware = firmware.or_else(|| firmware_behind(text.get(text.len() - split.model.len()..).unwrap_or_default()));
    Described {
        nature: nature(lower, maker, model.as_deref(), card),
        serial: serial.or_else(|| serial_behind(text, lower)),
        // A card's version is not the printer's.
        firmware: firmware.filter(|_| !card),
        maker,
        model,
    }
}

fn nature(lower: &str, maker: Option<&'static Maker>, model: Option<&str>, card: bool) -> Nature {
    let has = |words: &[&str]| words.iter().any(|word| has_word(lower, word));
    if has(NEVER_PRINTERS) {
        return Nature::Other;
    }
    let sells = maker.map(|maker| maker.sells);
    let named = has(PRINTING) || model.is_some_and(|model| makers::of_line(model).is_some() || is_office_model(model));
    if sells == Some(Sells::PrintServers) || has(PRINT_SERVERS) {
        // What they sell besides says what it is.
        return if has(OTHERS) && !has(PRINTING) { Nature::Other } else { Nature::PrintServer };
    }
    if card {
        return if sells == Some(Sells::Printers) || named { Nature::Card } else { Nature::Unsaid };
    }
    if named {
        return if maker.is_some() || has(PRINTING) { Nature::Printer } else { Nature::Unsaid };
    }
    if has(OTHERS) {
        return Nature::Other;
    }
    if sells == Some(Sells::Printers) { Nature::Printer } else { Nature::Unsaid }
}

/// Words of what is no printer, whatever else the text says.
const NEVER_PRINTERS: &[&str] = &[
    "scan server",
    "projector",
    "network camera",
    "digital sender",
    "windows",
    "linux",
    "unix",
    "aix",
    "freebsd",
    "sunos",
    "darwin",
    "vmware",
    "vxworks",
    "poweredge",
    "powerconnect",
    "powervault",
    "proliant",
    "procurve",
    "laserdisc",
];

/// Words of what is no printer, unless a word of [`PRINTING`] is there too.
const OTHERS: &[&str] = &[
    "scanner",
    "camera",
    "switch",
    "switching",
    "router",
    "access point",
    "wireless controller",
    "wlan",
    "firewall",
    "ups",
    "pdu",
    "nas",
    "storage",
    "display",
    "signage",
    "monitor",
    "tv",
    "television",
    "phone",
    "telephone",
    "pbx",
    "idrac",
    "ilo",
    "bmc",
    "ipmi",
    "chassis",
    "networking",
    "multiplexer",
    "modem",
    "recorder",
    "air conditioner",
    "thermostat",
    "tape",
    "library",
    "aruba",
    "integrated lights-out",
];

/// Words of what prints.
const PRINTING: &[&str] = &[
    "printer",
    "printers",
    "printing",
    "print",
    "mfp",
    "multifunction",
    "multi-function",
    "multifunctional",
    "copier",
    "plotter",
    "label",
    "laser",
    "engine",
    "toner",
    "laserjet",
    "officejet",
    "deskjet",
    "inkjet",
    "designjet",
    "laserprinter",
    "barcode",
    "all-n-1",
    "wide format",
    "network printer",
];

/// Words of print servers that stand beside a printer, not in it.
const PRINT_SERVERS: &[&str] = &[
    "ext. print server",
    "external 10base",
    "print adapter",
    "network adapter",
    "pocketpro",
    "marknet",
    "netque",
    "jetdirect",
    "printer server",
];

/// Words of network cards and of interfaces in general.
const CARDS: &[&str] = &[
    "print server",
    "printserver",
    "network interface",
    "interface card",
    "interface board",
    "printer board",
    "printer i/f",
    "ethernet",
    "scan server",
    "built-in",
    "print adapter",
    "firmware ver",
];

/// Words that name no model.
const GENERIC: &[&str] = &[
    "printing",
    "system",
    "systems",
    "network",
    "printer",
    "print",
    "printers",
    "laser",
    "color",
    "colour",
    "mono",
    "mfp",
    "wired",
    "wireless",
    "device",
    "generic",
    "label",
    "thermal",
    "multifunction",
    "unknown",
    "series",
    "server",
    "ps",
    "default",
];

fn is_card(lower: &str) -> bool {
    // Lexmark writes the interface behind the version.
    let front = lower.split(" version ").next().unwrap_or(lower);
    CARDS.iter().any(|card| has_word(front, card)) || front.split([' ', ',']).any(|word| is_numbered(word, "nc-"))
}

fn is_generic(model: &str) -> bool {
    let lower = model.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    // "Generic 28C-1" names a platform.
    lower.starts_with("generic") || words.all(|word| GENERIC.contains(&word))
}

/// `2330dn`, `B3460dn`, `3115cn`: digits, then letters for colour, duplex, network, fax.
fn is_office_model(model: &str) -> bool {
    model.split_whitespace().any(|word| {
        let rest = word.trim_start_matches(|c: char| c.is_ascii_uppercase());
        let letters = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = rest.len() - letters.len();
        digits >= 3 && (1..=4).contains(&letters.len()) && letters.chars().all(|c| "cdnwfxth".contains(c))
    })
}

/// The first of the parts that a text lists.
fn first_part(text: &str) -> &str {
    let cuts = [";", ",", " /", " (", "\\", ":Ver", " : "];
    let cut = cuts.iter().filter_map(|cut| text.find(cut)).min();
    text.get(..cut.unwrap_or(text.len())).unwrap_or(text).trim()
}

/// The words up to a version: model, version, and the serial number where one stands before a version of Lexmark's form.
fn model_words(text: &str) -> (Option<String>, Option<String>, Option<String>) {
    let words: Vec<&str> = text.split_whitespace().take(24).collect();
    let mut kept: Vec<&str> = Vec::new();
    let (mut firmware, mut serial) = (None, None);
    for (place, word_here) in words.iter().enumerate() {
        let next = words.get(place + 1).copied().unwrap_or_default();
        match version(word_here, next) {
            Version::Here(version) if place > 0 => firmware = Some(version.to_owned()),
            Version::Next if place > 0 => firmware = word(next),
            Version::Cut if place > 0 => {}
            _ => {
                kept.push(word_here);
                continue;
            }
        }
        if firmware.as_deref().is_some_and(is_lexmark_version)
            && kept.len() > 1
            && let Some(last) = kept.last().filter(|last| is_serial_word(last))
        {
            serial = Some((*last).to_owned());
            kept.pop();
        }
        break;
    }
    while kept.last().is_some_and(|last| last.chars().all(|c| !c.is_alphanumeric())) {
        kept.pop();
    }
    let model = kept.join(" ");
    let model = model.trim_end_matches([':', ';', ',']).trim();
    ((!model.is_empty()).then(|| model.to_owned()), firmware, serial)
}

enum Version<'t> {
    /// The word is one.
    Here(&'t str),
    /// The word says that one follows.
    Next,
    /// The word ends a model, and is no version.
    Cut,
    No,
}

fn version<'t>(word: &'t str, next: &str) -> Version<'t> {
    let lower = word.to_ascii_lowercase();
    let bare = lower.trim_end_matches([':', '.']);
    let digit_first = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    match bare {
        "version" | "ver" | "rev" | "firmware" | "fw" | "release" | "revision" => return Version::Next,
        "os" | "-" | "v" if digit_first(next) && next.contains('.') => return Version::Next,
        "kernel" | "eeprom" => return Version::Cut,
        _ => {}
    }
    for prefix in ["version", "ver", "rev", "v", "r"] {
        let Some(rest) = lower.strip_prefix(prefix) else { continue };
        let number = rest.trim_start_matches(['.', ':', '(']);
        if digit_first(number) && (number.contains('.') || prefix.len() > 1 || number.len() < rest.len()) {
            return word.get(word.len() - number.len()..).map_or(Version::Cut, Version::Here);
        }
    }
    let dated = next.len() == 8 && next.bytes().all(|b| b.is_ascii_digit());
    if dated && lower.starts_with('v') && lower.bytes().skip(1).any(|b| b.is_ascii_digit()) {
        return Version::Here(word.get(1..).unwrap_or(word));
    }
    let dots = word.matches('.').count();
    if digit_first(word) && dots > 0 || is_lexmark_version(word) {
        return Version::Here(word.trim_end_matches([',', '.']));
    }
    // A date, a time, an address in brackets.
    let bracketed = word.starts_with('[') && word.ends_with(']');
    let date = digit_first(word) && word.matches('-').count() == 2;
    if bracketed || date { Version::Cut } else { Version::No }
}

/// `LW62.DN4.P636`, `NS.NP.N219`
fn is_lexmark_version(word: &str) -> bool {
    let parts: Vec<&str> = word.split('.').take(6).collect();
    (3..6).contains(&parts.len())
        && word.starts_with(|c: char| c.is_ascii_uppercase())
        && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn is_serial_word(word: &str) -> bool {
    (6..=15).contains(&word.len())
        && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        && word.bytes().any(|b| b.is_ascii_digit())
}

/// `S/N …` or `SN …` behind a `;` or `,`.
fn serial_behind(text: &str, lower: &str) -> Option<String> {
    [";s/n", "; s/n", ";sn ", "; sn ", ",sn:", ",s/n", ", s/n"]
        .iter()
        .find_map(|mark| word(behind(text, lower, mark)?.trim_start_matches([':', ' '])))
}

/// The version of the whole, else of the controller, in the parts behind a model.
fn firmware_behind(text: &str) -> Option<String> {
    const UNITS: [&str; 10] =
        ["", "system software", "system", "ss", "os", "ess", "controller", "ps", "net", "network"];
    let parts: Vec<&str> = text.split([';', ',', '(', ')']).skip(1).take(32).map(str::trim).collect();
    let mut found: Vec<(usize, &str)> = Vec::new();
    for part in parts {
        let lower = part.to_ascii_lowercase();
        for (rank, unit) in UNITS.iter().enumerate() {
            let Some(rest) = lower.strip_prefix(unit) else { continue };
            let value = part.get(part.len() - rest.len()..).unwrap_or_default().trim_start();
            let Some(first) = value.split_whitespace().next() else { continue };
            let number = first.trim_start_matches(['V', 'v']);
            let glued = rest.len() == value.len() && !unit.is_empty();
            let versioned =
                number.starts_with(|c: char| c.is_ascii_digit()) && (number.contains('.') || number.len() > 7);
            if versioned && (!glued || *unit == "ess") && (!unit.is_empty() || first.len() > number.len()) {
                found.push((rank, number));
            }
        }
    }
    found.into_iter().min_by_key(|(rank, _)| *rank).map(|(_, version)| version.to_owned())
}

/// What stands behind a text that is there, whatever its case (`lower` is the text in lower case).
fn behind<'t>(text: &'t str, lower: &str, mark: &str) -> Option<&'t str> {
    // The lower-case form of a text is as long as the text for all but a few characters.
    let start = lower.find(mark)?.checked_add(mark.len())?;
    if lower.len() == text.len() { text.get(start..) } else { None }
}

fn word(text: &str) -> Option<String> {
    let word = text.split_whitespace().next()?.trim_matches([',', ';', ':']);
    (!word.is_empty()).then(|| word.to_owned())
}

/// Whether the words stand in a text as words.
fn has_word(lower: &str, wanted: &str) -> bool {
    lower.match_indices(wanted).take(16).any(|(at, found)| {
        let before = lower.get(..at).and_then(|front| front.chars().next_back());
        let after = lower.get(at + found.len()..).and_then(|rest| rest.chars().next());
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphabetic)
    })
}

fn is_numbered(word: &str, prefix: &str) -> bool {
    word.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}
