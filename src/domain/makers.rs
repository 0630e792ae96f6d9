//! The one table of makers: of printers, label printers, multifunction devices and print servers.
//!
//! One row of [`MAKERS`] says how a maker's name is written in the field (in front of a model, as the `MFG` of an IEEE
//! 1284 device id, as `usb_MFG` or `ty` of a DNS-SD record), which canonical name it has in a printer's id, how it is
//! shown to people, which IANA enterprise numbers its agents carry in sysObjectID, and which product lines it alone sells.
//! A new maker is a new row; nothing else has to be touched.
//!
//! Rules of reading:
//! - A spelling counts at the start of a text and up to the end of a word, whatever the case; the longest one wins
//!   (`Konica Minolta`, not `Konica`). `HP` is in `HP LaserJet` and not in `Hpress`.
//! - In front of a model a maker may stand several times and in several spellings (`Hewlett-Packard HP LaserJet`).
//! - The name in a text comes before a product line, a product line before an enterprise number: agents are sold from one
//!   maker to another, names are not.
//! - An enterprise number names a maker and proves no printer: `11` is on servers and switches too.
//!
//! Invariants (tested): canonical names are lower-case letters, digits and dashes and at most 24 long, they **never
//! change** (they stand in ids), no spelling, line or enterprise number is in two rows. Several rows may share one
//! canonical name where one maker has names that people tell apart (`Fuji Xerox`, `Fujifilm`).
//!
//! All functions are total and take time in proportion to the text, of which only the start is looked at.

use std::sync::LazyLock;

/// One maker, under one of the names people know.
#[derive(Debug, PartialEq, Eq)]
pub struct Maker {
    /// Canonical name, in printers' ids. Never changes.
    pub id: &'static str,
    /// As people write it.
    pub name: &'static str,
    /// Spellings in lower case, without the ends that `LEGAL` lists.
    pub spellings: &'static [&'static str],
    /// IANA enterprise numbers (sysObjectID).
    pub enterprises: &'static [u32],
    /// Beginnings of model names that no other maker uses, in lower case.
    pub lines: &'static [&'static str],
    /// What a networked device with this name on it is.
    pub sells: Sells,
}

/// What a maker puts on a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sells {
    /// Printers, above all: the name in front of a description is good evidence of one.
    Printers,
    /// Printers and much else (servers, switches, displays, telephones): the name alone says nothing.
    Much,
    /// Print servers: a box to which others' printers are connected.
    PrintServers,
}

/// A text taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split<'t> {
    /// The maker that the text begins with.
    pub maker: Option<&'static Maker>,
    /// The maker as the text writes it; empty without one.
    pub written: &'t str,
    /// What follows; the whole text without a maker. May be empty.
    pub model: &'t str,
}

/// What may follow a maker's name and belongs to it: `Canon Inc., LBP-1760e`, `OKI DATA CORP`.
const LEGAL: [&str; 22] = [
    "inc",
    "co",
    "ltd",
    "corp",
    "corporation",
    "company",
    "gmbh",
    "ag",
    "kg",
    "llc",
    "b.v",
    "s.p.a",
    "spa",
    "sa",
    "kk",
    "k.k",
    "international",
    "electronics",
    "technologies",
    "technology",
    "limited",
    "incorporated",
];

/// What stands between a maker and a model.
const SEPARATORS: [char; 5] = ['_', '-', ',', ';', ':'];

const fn row(
    id: &'static str,
    name: &'static str,
    spellings: &'static [&'static str],
    enterprises: &'static [u32],
    lines: &'static [&'static str],
) -> Maker {
    Maker { id, name, spellings, enterprises, lines, sells: Sells::Printers }
}

impl Maker {
    const fn much(self) -> Self {
        Self { sells: Sells::Much, ..self }
    }

    const fn servers(self) -> Self {
        Self { sells: Sells::PrintServers, ..self }
    }
}

/// The makers, by canonical name. Enterprise numbers: IANA's registry.
#[rustfmt::skip]
pub static MAKERS: &[Maker] = &[
    row("apple", "Apple", &["apple"], &[], &["laserwriter"]).much(),
    row("argox", "Argox", &["argox"], &[], &[]),
    row("avery", "Avery Dennison", &["avery", "avery dennison", "averydennison", "monarch", "paxar"], &[], &[]),
    row("axis", "Axis", &["axis"], &[368], &[]).servers(),
    row("bematech", "Bematech", &["bematech"], &[], &[]),
    row("bixolon", "Bixolon", &["bixolon"], &[], &["slp-", "srp-"]),
    row("brady", "Brady", &["brady"], &[], &[]),
    row("brother", "Brother", &["brother", "brother industries"], &[2435], &["mfc-", "dcp-", "hl-", "ql-", "nc-", "sp nc-"]),
    row("cab", "cab", &["cab", "cab produkttechnik"], &[], &[]),
    row("canon", "Canon", &["canon"], &[1602], &[
        "cnmf", "cnlbp", "imagerunner", "imageclass", "imagepress", "imageprograf", "ir-adv", "ir", "ipr", "pixma",
        "selphy", "i-sensys", "maxify", "laser shot", "lbp", "satera",
    ]),
    row("casio", "Casio", &["casio"], &[], &[]).much(),
    row("citizen", "Citizen", &["citizen", "citizen systems"], &[], &[]),
    row("cognitive", "CognitiveTPG", &["cognitive", "cognitivetpg"], &[], &[]),
    row("compuprint", "Compuprint", &["compuprint"], &[], &[]),
    row("copystar", "Copystar", &["copystar"], &[], &[]),
    row("datamax", "Datamax", &["datamax", "datamax-o'neil", "datamax o'neil"], &[], &["i-class", "m-class", "e-class", "h-class"]),
    row("dell", "Dell", &["dell"], &[674], &[]).much(),
    row("develop", "Develop", &["develop"], &[], &["ineo"]),
    row("d-link", "D-Link", &["d-link", "dlink"], &[171], &[]).servers(),
    row("dymo", "DYMO", &["dymo"], &[], &["labelwriter"]),
    row("edimax", "Edimax", &["edimax"], &[], &[]).servers(),
    row("efi", "EFI", &["efi", "electronics for imaging"], &[2136], &["fiery"]),
    row("emulex", "Emulex", &["emulex"], &[], &["netque"]).servers(),
    row("epson", "Epson", &["epson", "seiko epson", "epsonnet"], &[1248], &[
        "workforce", "stylus", "ecotank", "surecolor", "aculaser", "colorworks", "surelab", "wf-", "xp-", "et-", "epl-",
    ]),
    row("evolis", "Evolis", &["evolis"], &[], &[]),
    row("fargo", "Fargo", &["fargo", "hid fargo"], &[], &[]),
    row("fujifilm", "Fujifilm", &["fujifilm", "fujifilm business innovation"], &[], &["apeos"]),
    row("fujifilm", "Fuji Xerox", &["fuji xerox", "fujixerox", "fuji-xerox"], &[297], &["apeosport", "docucentre"]),
    row("fujitsu", "Fujitsu", &["fujitsu"], &[], &[]).much(),
    row("gestetner", "Gestetner", &["gestetner"], &[], &[]),
    row("godex", "GoDEX", &["godex"], &[], &[]),
    row("honeywell", "Honeywell", &["honeywell"], &[], &[]).much(),
    row("hp", "HP", &["hp", "hewlett-packard", "hewlett packard", "hewlett_packard", "hewlettpackard"], &[11], &[
        "laserjet", "color laserjet", "officejet", "deskjet", "designjet", "photosmart", "pagewide", "envy", "psc",
        "business inkjet", "smart tank", "digital sender", "jetdirect", "scanjet",
    ]).much(),
    row("ibm", "IBM", &["ibm"], &[], &["infoprint", "6400", "6500"]).much(),
    row("imagistics", "Imagistics", &["imagistics"], &[], &[]),
    row("infotec", "Infotec", &["infotec"], &[], &[]),
    row("intermec", "Intermec", &["intermec", "thermal label printer intermec"], &[1963], &["easycoder"]),
    row("kodak", "Kodak", &["kodak", "eastman kodak"], &[], &[]).much(),
    row("konica-minolta", "Konica Minolta", &[
        "konica minolta", "konicaminolta", "konica-minolta", "konica_minolta", "konica", "minolta", "minolta-qms", "qms",
        "minolta qms",
    ], &[18334], &["bizhub", "magicolor", "pagepro", "accuriopress", "accurioprint"]),
    row("kyocera", "Kyocera", &[
        "kyocera", "kyocera mita", "kyocera document solutions", "kyocera-mita", "mita",
    ], &[1347], &["ecosys", "taskalfa", "fs-", "km-"]),
    row("lanier", "Lanier", &["lanier"], &[], &[]),
    row("lantronix", "Lantronix", &["lantronix"], &[244], &[]).servers(),
    row("lenovo", "Lenovo", &["lenovo"], &[], &[]).much(),
    row("lexmark", "Lexmark", &["lexmark"], &[641], &["marknet", "optra"]),
    row("muratec", "Muratec", &["muratec", "murata"], &[], &[]),
    row("nashuatec", "Nashuatec", &["nashuatec"], &[], &[]),
    row("nec", "NEC", &["nec"], &[], &[]).much(),
    row("netgear", "Netgear", &["netgear"], &[], &[]).servers(),
    row("nrg", "NRG", &["nrg"], &[], &[]),
    row("oce", "Océ", &["oce", "océ", "ocÉ", "oce'"], &[], &["colorwave", "varioprint", "plotwave"]),
    row("oki", "OKI", &["oki", "oki data", "okidata", "oki electric"], &[2001], &["okilan"]),
    row("olivetti", "Olivetti", &["olivetti"], &[], &["d-copia", "d-color", "pg l"]),
    row("panasonic", "Panasonic", &["panasonic"], &[], &["workio", "kx-mb", "kx-mc"]).much(),
    row("pantum", "Pantum", &["pantum"], &[40093], &[]),
    row("postek", "Postek", &["postek"], &[], &[]),
    row("printronix", "Printronix", &["printronix", "printronix auto id"], &[], &[]),
    row("rex-rotary", "Rex-Rotary", &["rex-rotary", "rex rotary"], &[], &[]),
    row("ricoh", "Ricoh", &["ricoh", "infoprint solutions"], &[367], &["aficio", "imagio", "ipsio"]),
    row("riso", "Riso", &["riso", "riso kagaku"], &[], &["comcolor"]),
    row("rollo", "Rollo", &["rollo"], &[], &[]),
    row("samsung", "Samsung", &["samsung"], &[236], &["scx-", "clx-", "clp-", "ml-", "xpress"]),
    row("sato", "SATO", &["sato"], &[], &[]),
    row("savin", "Savin", &["savin"], &[], &[]),
    row("seh", "SEH", &["seh", "seh computertechnik"], &[1229], &[]).servers(),
    row("seiko", "Seiko", &["seiko", "seiko instruments", "sii"], &[], &[]).much(),
    row("sharp", "Sharp", &["sharp"], &[2385], &["mx-", "ar-", "bp-", "dx-"]).much(),
    row("sindoh", "Sindoh", &["sindoh", "sindoricoh"], &[], &[]),
    row("silex", "silex", &["silex"], &[], &[]).servers(),
    row("sony", "Sony", &["sony"], &[], &[]).much(),
    row("source-technologies", "Source Technologies", &["source technologies"], &[], &[]),
    row("star", "Star", &["star", "star micronics"], &[], &[]),
    row("tallygenicom", "TallyGenicom", &["tallygenicom", "tally genicom", "tally", "genicom"], &[], &[]),
    row("tektronix", "Tektronix", &["tektronix"], &[128], &[]),
    row("toshiba", "Toshiba", &["toshiba"], &[], &["e-studio"]).much(),
    row("toshiba", "Toshiba TEC", &["toshiba tec", "toshibatec", "tec"], &[1129], &[]),
    row("tp-link", "TP-Link", &["tp-link"], &[], &[]).servers(),
    row("trendnet", "TRENDnet", &["trendnet"], &[], &[]).servers(),
    row("triumph-adler", "Triumph-Adler", &[
        "triumph-adler", "ta triumph-adler", "triumph adler", "ta triumph adler",
    ], &[], &[]),
    row("troy", "TROY", &["troy", "silex pocketpro", "troy group"], &[], &["pocketpro"]).servers(),
    row("tsc", "TSC", &["tsc", "tsc auto id"], &[], &["ttp"]),
    row("unisys", "Unisys", &["unisys"], &[], &[]).much(),
    row("utax", "UTAX", &["utax", "ta_utax", "ta utax", "utax_ta", "utax ta", "utax/ta"], &[], &[]),
    row("wincor", "Wincor Nixdorf", &["wincor", "wincor nixdorf"], &[], &[]).much(),
    row("xerox", "Xerox", &["xerox"], &[253], &[
        "workcentre", "phaser", "versalink", "altalink", "colorqube", "docucolor", "docutech", "primelink", "nuvera",
    ]),
    row("xprinter", "Xprinter", &["xprinter"], &[], &[]),
    row("zebra", "Zebra", &["zebra", "zebranet", "eltron"], &[683, 10642], &["ztc"]),
];

/// Makers that sell one another's machines, or became one another: a device may call itself by either, in its firmware,
/// in its agent or on its label. Difference of maker within a group is no ground to take two records for two devices.
const GROUPS: [&[&str]; 10] = [
    &["ricoh", "gestetner", "lanier", "nrg", "savin", "infotec", "nashuatec", "rex-rotary", "ibm"],
    &["konica-minolta", "develop", "olivetti"],
    &["kyocera", "utax", "triumph-adler", "copystar", "olivetti"],
    &["fujifilm", "xerox", "tektronix", "dell", "epson", "lexmark"],
    &["hp", "samsung", "dell", "xerox"],
    &["lexmark", "dell", "toshiba", "ibm", "lenovo", "source-technologies", "unisys", "konica-minolta"],
    &["oce", "imagistics", "canon", "konica-minolta"],
    &["honeywell", "intermec", "datamax"],
    &["zebra", "tallygenicom", "printronix"],
    &["brother", "troy"],
];

/// Spellings and their rows, longest first: the first that fits is the longest.
static SPELLINGS: LazyLock<Vec<(&'static str, &'static Maker)>> = LazyLock::new(|| sorted(|maker| maker.spellings));
/// Product lines and their rows, longest first.
static LINES: LazyLock<Vec<(&'static str, &'static Maker)>> = LazyLock::new(|| sorted(|maker| maker.lines));

fn sorted(texts: fn(&Maker) -> &'static [&'static str]) -> Vec<(&'static str, &'static Maker)> {
    let mut all: Vec<_> = MAKERS.iter().flat_map(|maker| texts(maker).iter().map(move |text| (*text, maker))).collect();
    all.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
    all
}

/// The maker that a text begins with.
pub fn of_text(text: &str) -> Option<&'static Maker> {
    split(text).maker
}

/// The maker that a text is the name of, in one of its spellings and nothing behind.
pub fn named(text: &str) -> Option<&'static Maker> {
    let found = split(text);
    found.maker.filter(|_| found.model.is_empty())
}

/// The maker of an enterprise number.
pub fn of_enterprise(number: u32) -> Option<&'static Maker> {
    MAKERS.iter().find(|maker| maker.enterprises.contains(&number))
}

/// The maker of the product line that a model begins with, for models that leave the maker out (`ECOSYS M2040dn`).
pub fn of_line(model: &str) -> Option<&'static Maker> {
    let model = model.trim_start();
    LINES.iter().find(|(line, _)| behind_line(model, line)).map(|(_, maker)| *maker)
}

/// Whether two canonical names may stand for one maker of one device.
pub fn related(a: &str, b: &str) -> bool {
    a == b || GROUPS.iter().any(|group| group.contains(&a) && group.contains(&b))
}

/// Takes the maker from the front of a text: as often as it stands there, with its legal form.
pub fn split(text: &str) -> Split<'_> {
    let text = text.trim();
    let Some((maker, mut rest)) = front(text) else { return Split { maker: None, written: "", model: text } };
    let written = text.get(..text.len() - rest.len()).unwrap_or_default();
    let written = written.trim_end_matches(|c: char| c.is_whitespace() || SEPARATORS.contains(&c));
    rest = behind_legal(rest);
    // "Samsung Samsung SCX", "Hewlett-Packard HP LaserJet"; a maker of another name belongs to the model.
    for _ in 0..4 {
        match front(rest) {
            Some((again, behind)) if again.id == maker.id => rest = behind_legal(behind),
            _ => break,
        }
    }
    Split { maker: Some(maker), written, model: rest }
}

/// The model behind its maker's name, in however many spellings. `make` is the maker as stated elsewhere, which need not be
/// one of the table. A text that is nothing but the name stays.
pub fn without_maker<'t>(model: &'t str, make: Option<&str>) -> &'t str {
    let model = model.trim();
    let stated = make.map(str::trim).filter(|make| !make.is_empty());
    let known = stated.and_then(|make| of_text(make).or_else(|| MAKERS.iter().find(|maker| maker.id == make)));
    let mut rest = model;
    // Each round takes something away.
    loop {
        let behind = stated.and_then(|make| behind_word(rest, make)).or_else(|| match (front(rest), stated, known) {
            (Some((_, behind)), None, _) => Some(behind),
            (Some((maker, behind)), Some(_), Some(known)) if maker.id == known.id => Some(behind),
            _ => None,
        });
        let Some(behind) = behind.map(separated).filter(|behind| !behind.is_empty()) else { return rest };
        // A legal form is one only behind a name.
        let bare = behind_legal(behind);
        rest = if bare.is_empty() { behind } else { bare };
    }
}

/// A spelling at the front of a text, and what is behind it.
fn front(text: &str) -> Option<(&'static Maker, &str)> {
    SPELLINGS.iter().find_map(|(spelling, maker)| Some((*maker, separated(behind_word(text, spelling)?))))
}

/// What is behind a word at the front of a text, whatever the case, where the word ends there.
fn behind_word<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(word.len())?;
    let ends = rest.chars().next().is_none_or(|c| !c.is_alphanumeric());
    (ends && head.eq_ignore_ascii_case(word)).then_some(rest)
}

/// Whether a model begins with a line: up to the end of a word, or to a digit where the line ends in a letter.
fn behind_line(model: &str, line: &str) -> bool {
    let Some((head, rest)) = model.split_at_checked(line.len()) else { return false };
    let open = line.ends_with(|c: char| c.is_alphabetic());
    head.eq_ignore_ascii_case(line) && !(open && rest.starts_with(char::is_alphabetic))
}

fn separated(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_whitespace() || SEPARATORS.contains(&c)).trim_end()
}

fn behind_legal(text: &str) -> &str {
    let mut rest = text;
    for _ in 0..3 {
        let Some(behind) = LEGAL.iter().find_map(|form| behind_word(rest, form)) else { break };
        rest = separated(behind.strip_prefix('.').unwrap_or(behind));
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_is_sound() {
        let (mut spellings, mut lines, mut numbers) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for maker in MAKERS {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!((1..=24).contains(&maker.id.len()) && maker.id.chars().all(fits), "{maker:?}");
            assert!(!maker.name.is_empty() && !maker.spellings.is_empty());
            for spelling in maker.spellings {
                assert!(!spelling.chars().any(|c| c.is_ascii_uppercase()), "{spelling}");
                assert!(spellings.insert(*spelling), "{spelling} twice");
                assert_eq!(named(spelling).map(|maker| maker.id), Some(maker.id), "{spelling}");
            }
            assert_eq!(of_text(maker.name), Some(maker), "a name is one of its spellings");
            assert!(maker.lines.iter().all(|line| lines.insert(*line)), "{maker:?}: a line twice");
            assert!(maker.enterprises.iter().all(|number| numbers.insert(*number)), "{maker:?}: a number twice");
        }
        for group in GROUPS {
            assert!(group.iter().all(|id| MAKERS.iter().any(|maker| maker.id == *id)), "{group:?}");
        }
    }

    #[test]
    fn makers_are_taken_from_the_front() {
        for (text, name, written, model) in [
            ("HP LaserJet 4100 Series", "HP", "HP", "LaserJet 4100 Series"),
            ("Hewlett-Packard HP LaserJet CP 1025nw", "HP", "Hewlett-Packard", "LaserJet CP 1025nw"),
            ("Samsung Samsung SCX-470x Series", "Samsung", "Samsung", "SCX-470x Series"),
            ("KONICA MINOLTA bizhub C351", "Konica Minolta", "KONICA MINOLTA", "bizhub C351"),
            ("FUJI XEROX DocuPrint CM305 df", "Fuji Xerox", "FUJI XEROX", "DocuPrint CM305 df"),
            ("FUJIFILM ApeosPro C810", "Fujifilm", "FUJIFILM", "ApeosPro C810"),
            ("Canon Inc., LBP-1760e Printer", "Canon", "Canon", "LBP-1760e Printer"),
            ("Canon Inc. LASER CLASS 3170", "Canon", "Canon", "LASER CLASS 3170"),
            ("TA_UTAX Printing System", "UTAX", "TA_UTAX", "Printing System"),
            ("TOSHIBA TEC B-EV4", "Toshiba TEC", "TOSHIBA TEC", "B-EV4"),
            ("TOSHIBA e-STUDIO233", "Toshiba", "TOSHIBA", "e-STUDIO233"),
            ("Zebra Technologies ZTC ZD420", "Zebra", "Zebra", "ZTC ZD420"),
            ("Tektronix, Inc., Phaser 860N", "Tektronix", "Tektronix", "Phaser 860N"),
            ("Oce, VarioPrint 2045", "Océ", "Oce", "VarioPrint 2045"),
            ("Datamax Corporation I-Class 4208", "Datamax", "Datamax", "I-Class 4208"),
            ("hp", "HP", "hp", ""),
            ("HP Inc.", "HP", "HP", ""),
            ("Xerox Fuji 1", "Xerox", "Xerox", "Fuji 1"),
        ] {
            let found = split(text);
            let maker = found.maker.map_or("", |maker| maker.name);
            assert_eq!((maker, found.written, found.model), (name, written, model), "{text}");
        }
        for text in ["Hpress 3000", "Superprint 9", "", "Xeroxish", "東芝 1"] {
            assert_eq!(split(text), Split { maker: None, written: "", model: text });
        }
    }

    #[test]
    fn a_model_loses_its_maker_and_nothing_else() {
        for (model, make, want) in [
            ("HP LaserJet P3010 Series", Some("Hewlett-Packard"), "LaserJet P3010 Series"),
            ("Hewlett-Packard HP LaserJet", Some("HP"), "LaserJet"),
            ("Xeroxish 1", Some("Xerox"), "Xeroxish 1"),
            ("Acme Press 1", Some("Acme"), "Press 1"),
            ("Kyocera ECOSYS M2040dn", None, "ECOSYS M2040dn"),
            ("HP", Some("HP"), "HP"),
            // Another maker's name belongs to the model.
            ("Xerox 6180", Some("Dell"), "Xerox 6180"),
            ("Co 1", None, "Co 1"),
        ] {
            assert_eq!(without_maker(model, make), want, "{model} {make:?}");
        }
    }

    #[test]
    fn product_lines_and_enterprise_numbers_name_makers() {
        for (model, id) in [
            ("ECOSYS M2040dn", Some("kyocera")),
            ("CNMF6100 Series", Some("canon")),
            ("iR1020/1024/1025", Some("canon")),
            ("iR C4080", Some("canon")),
            ("LASERJET 4050", Some("hp")),
            ("TTP244CE Version: 7.02", Some("tsc")),
            ("irresistible", None),
            ("LP 40", None),
            ("", None),
        ] {
            assert_eq!(of_line(model).map(|maker| maker.id), id, "{model}");
        }
        let of = |number| of_enterprise(number).map(|maker| maker.name);
        assert_eq!((of(11), of(10_642), of(683), of(9)), (Some("HP"), Some("Zebra"), Some("Zebra"), None));
        assert!(related("savin", "ricoh") && related("hp", "hp") && !related("hp", "canon"));
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart(text in "\\PC{0,60}", front in "(HP|Canon Inc|TA_UTAX|océ|)[ _,-]{0,2}") {
            let text = format!("{front}{text}");
            let found = split(&text);
            prop_assert!(text.contains(found.model) && text.contains(found.written));
            prop_assert_eq!(found.maker.is_none(), found.written.is_empty());
            let bare = without_maker(&text, found.maker.map(|maker| maker.name));
            prop_assert!(text.contains(bare));
            let _ = (of_line(&text), named(&text));
        }
    }
}
