//! Counts the pages of a document as a printer of its language would put them out. Blocks in, a number out: a document
//! of any size needs no memory, and how it is cut into blocks makes no difference.
//!
//! | format | pages |
//! |---|---|
//! | PDF | objects of `/Type /Page` (those in compressed object streams are not seen) |
//! | PostScript | the number of `%%Pages:`; without one, `%%Page:` comments; without those, `showpage` that is not a name |
//! | PCL 5 | form feeds outside binary data, the page that a reset or the end leaves begun, a break after 60 lines |
//! | PWG Raster | page headers |
//! | Apple Raster | the count in its header |
//! | ZPL | labels: `^XZ` that ends a `^XA`, each as often as its `^PQ` says |
//! | text, and what no language is known for | form feeds, a break after 60 lines, what is left at the end |
//! | other | one |
//!
//! At least 1 everywhere: a printer that was given anything moves paper.

/// Lines on a page of text: 66 of 1/6 inch, less the margins of a laser printer.
const LINES: u32 = 60;
/// Longer than the longest mark with its white space.
const TAIL: usize = 40;

/// Counts over blocks.
pub(super) struct PageCounter {
    format: Format,
    /// The last bytes of the block before, for marks that lie across blocks.
    tail: Vec<u8>,
    /// The byte before the tail.
    before: Option<u8>,
    count: u32,
    seen: u64,
    lines: Lines,
    /// `%%Pages:` and `%%Page:` of PostScript.
    stated: u32,
    comments: u32,
    label: Label,
}

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Pdf,
    PostScript,
    Pcl,
    Pwg,
    Urf,
    Zpl,
    Text,
    Single,
}

/// The label that is open in a ZPL document.
#[derive(Default)]
struct Label {
    open: bool,
    quantity: u32,
}

impl PageCounter {
    /// A counter for this media type.
    pub(super) fn new(format: &str) -> PageCounter {
        let format = match format {
            "application/pdf" => Format::Pdf,
            "application/postscript" => Format::PostScript,
            "application/vnd.hp-PCL" => Format::Pcl,
            "image/pwg-raster" => Format::Pwg,
            "image/urf" => Format::Urf,
            "application/vnd.zebra-zpl" => Format::Zpl,
            "text/plain" => Format::Text,
            _ => Format::Single,
        };
        PageCounter {
            format,
            tail: Vec::new(),
            before: None,
            count: 0,
            seen: 0,
            lines: Lines::default(),
            stated: 0,
            comments: 0,
            label: Label::default(),
        }
    }

    /// The next block.
    pub(super) fn feed(&mut self, block: &[u8]) {
        match self.format {
            Format::Single => {}
            Format::Urf => self.urf(block),
            Format::Text | Format::Pcl => {
                let pcl = self.format == Format::Pcl;
                block.iter().for_each(|byte| self.lines.take(*byte, pcl));
            }
            _ => {
                let mut window = std::mem::take(&mut self.tail);
                window.extend_from_slice(block);
                // Marks that begin in the tail are left to the next block.
                let limit = window.len().saturating_sub(TAIL);
                self.marks(&window, limit);
                self.before = limit.checked_sub(1).and_then(|last| window.get(last)).copied().or(self.before);
                self.tail = window.split_off(limit);
            }
        }
    }

    /// The pages; at least 1.
    pub(super) fn pages(mut self) -> u32 {
        let tail = std::mem::take(&mut self.tail);
        self.marks(&tail, tail.len());
        let pages = match self.format {
            Format::PostScript if self.stated > 0 => self.stated,
            Format::PostScript if self.comments > 0 => self.comments,
            Format::Text | Format::Pcl => self.lines.pages(),
            _ => self.count,
        };
        pages.max(1)
    }

    /// The header of Apple Raster: `UNIRAST`, a zero, the count in four bytes.
    fn urf(&mut self, block: &[u8]) {
        for byte in block {
            match self.seen {
                8..12 => self.count = self.count << 8 | u32::from(*byte),
                12.. => return,
                _ => {}
            }
            self.seen += 1;
        }
    }

    /// Takes the marks that begin before `limit`.
    fn marks(&mut self, window: &[u8], limit: usize) {
        for at in 0..limit {
            // No further, however much is there: the blocks must make no difference.
            let rest = window.get(at..window.len().min(at + TAIL)).unwrap_or_default();
            match self.format {
                Format::Pdf if is_page_object(rest) => self.count = self.count.saturating_add(1),
                Format::Pwg if rest.starts_with(b"PwgRaster\0") => self.count = self.count.saturating_add(1),
                Format::Zpl => self.zpl(rest),
                Format::PostScript => {
                    let before = at.checked_sub(1).map_or(self.before, |before| window.get(before).copied());
                    self.post_script(rest, before);
                }
                _ => {}
            }
        }
    }

    fn post_script(&mut self, rest: &[u8], before: Option<u8>) {
        if let Some(number) = rest.strip_prefix(b"%%Pages:") {
            // `(atend)` gives 0; the number follows in the trailer. The first one that counts wins: what is embedded
            // has its own.
            if self.stated == 0 {
                self.stated = number_at(number);
            }
        } else if rest.starts_with(b"%%Page:") {
            self.comments = self.comments.saturating_add(1);
        } else if let Some(after) = rest.strip_prefix(b"showpage") {
            let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-');
            if !before.is_some_and(word) && !after.first().is_some_and(|byte| word(*byte)) {
                self.count = self.count.saturating_add(1);
            }
        }
    }

    fn zpl(&mut self, rest: &[u8]) {
        if rest.starts_with(b"^XA") {
            self.label = Label { open: true, quantity: 1 };
        } else if let Some(number) = rest.strip_prefix(b"^PQ") {
            self.label.quantity = number_at(number).max(1);
        } else if rest.starts_with(b"^XZ") && std::mem::take(&mut self.label.open) {
            self.count = self.count.saturating_add(self.label.quantity);
        }
    }
}

/// The decimal number here, behind white space; 0 when there is none. Nine digits are read.
fn number_at(text: &[u8]) -> u32 {
    let text = text.trim_ascii_start();
    text.iter().take_while(|byte| byte.is_ascii_digit()).take(9).fold(0, |n, byte| n * 10 + u32::from(byte - b'0'))
}

/// `/Type`, white space, `/Page` and not `/Pages`.
fn is_page_object(rest: &[u8]) -> bool {
    let Some(rest) = rest.strip_prefix(b"/Type") else { return false };
    let Some(rest) = rest.trim_ascii_start().strip_prefix(b"/Page") else { return false };
    !rest.first().is_some_and(u8::is_ascii_alphanumeric)
}

/// The paper of a line printer, and the escape sequences of PCL 5 on top of it.
#[derive(Default)]
struct Lines {
    pages: u32,
    line: u32,
    /// Something is on the page.
    marked: bool,
    escape: Escape,
}

/// Where in an escape sequence (PCL 5 Printer Language TRM, chapter 2: `ESC` X y number z, or `ESC` and one
/// character).
#[derive(Default, Clone, Copy)]
enum Escape {
    #[default]
    None,
    Begun,
    /// Parameterized and group character seen (`*b`), and the number so far.
    Parameter(u8, u8, u64),
    /// So many bytes of binary data follow, of the sequence of this group.
    Data(u8, u8, u64),
}

impl Lines {
    fn take(&mut self, byte: u8, pcl: bool) {
        match self.escape {
            Escape::None if pcl && byte == 0x1b => self.escape = Escape::Begun,
            Escape::None => self.character(byte),
            Escape::Begun => {
                self.escape = match byte {
                    b'E' => {
                        self.eject();
                        Escape::None
                    }
                    0x21..=0x2f => Escape::Parameter(byte, 0, 0),
                    _ => Escape::None,
                }
            }
            Escape::Parameter(parameter, group, number) => self.parameter(byte, parameter, group, number),
            Escape::Data(parameter, group, left) => {
                // Raster rows and transparent text are on the page; fonts and macros are not.
                self.marked |= matches!((parameter, group), (b'*', b'b' | b'v') | (b'&', b'p'));
                self.escape = if left <= 1 { Escape::None } else { Escape::Data(parameter, group, left - 1) };
            }
        }
    }

    fn parameter(&mut self, byte: u8, parameter: u8, group: u8, number: u64) {
        self.escape = match byte {
            b'0'..=b'9' => {
                let number = number.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
                Escape::Parameter(parameter, group, number)
            }
            b'+' | b'-' | b'.' => Escape::Parameter(parameter, group, number),
            0x60..=0x7e if group == 0 => Escape::Parameter(parameter, byte, 0),
            // The last character in upper case ends the sequence, in lower case another number follows.
            0x40..=0x7e => {
                let data = matches!(byte.to_ascii_uppercase(), b'W')
                    || (parameter, group, byte.to_ascii_uppercase()) == (b'&', b'p', b'X')
                    || (parameter, group, byte.to_ascii_uppercase()) == (b'*', b'b', b'V');
                match number {
                    1.. if data => Escape::Data(parameter, group, number),
                    _ if byte.is_ascii_uppercase() => Escape::None,
                    _ => Escape::Parameter(parameter, group, 0),
                }
            }
            // Not a sequence after all.
            _ => Escape::None,
        };
    }

    fn character(&mut self, byte: u8) {
        match byte {
            0x0c => {
                self.pages = self.pages.saturating_add(1);
                (self.line, self.marked) = (0, false);
            }
            b'\n' => self.line = self.line.saturating_add(1),
            0x00..=0x20 => {}
            _ => {
                if self.line >= LINES {
                    self.pages = self.pages.saturating_add(u32::from(self.marked));
                    self.line = 0;
                }
                self.marked = true;
            }
        }
    }

    fn eject(&mut self) {
        self.pages = self.pages.saturating_add(u32::from(self.marked));
        (self.line, self.marked) = (0, false);
    }

    fn pages(&mut self) -> u32 {
        self.eject();
        self.pages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FORMATS: [&str; 8] = [
        "application/pdf",
        "application/postscript",
        "application/vnd.hp-PCL",
        "image/pwg-raster",
        "image/urf",
        "application/vnd.zebra-zpl",
        "text/plain",
        "image/jpeg",
    ];

    fn pages(format: &str, document: &[u8]) -> u32 {
        let mut counter = PageCounter::new(format);
        counter.feed(document);
        counter.pages()
    }

    #[test]
    fn pages_are_counted_by_language() {
        let lines = "line\n".repeat(61);
        let long = "line\n".repeat(180);
        let many = b"\x1bE\x1b*r1A\x1b*b3W\x0c\x0c\x0c\x1b*rB\x0cnext\x1b&l2x1H\x0c\x1bE".as_slice();
        for (format, document, expected) in [
            ("text/plain", b"a".as_slice(), 1),
            ("text/plain", b"\n", 1),
            ("text/plain", b"\x0c", 1),
            ("text/plain", b"a\x0c", 1),
            ("text/plain", b"a\x0cb", 2),
            ("text/plain", b"a\x0c\x0c", 2),
            ("text/plain", lines.as_bytes(), 2),
            ("text/plain", long.as_bytes(), 3),
            ("application/vnd.hp-PCL", many, 2),
            ("application/vnd.hp-PCL", b"\x1bEhello\x1bE", 1),
            ("application/vnd.hp-PCL", b"\x1bE\x1bE", 1),
            ("application/vnd.hp-PCL", b"\x1b&p3X\x0c\x0c\x0c\x0cx", 2),
            ("application/postscript", b"%!PS\n%%Pages: 7\n%%Page: 1 1\nshowpage\n", 7),
            ("application/postscript", b"%!PS\n%%Pages: (atend)\n%%Page: 1 1\n%%Page: 2 2\n%%Trailer\n%%Pages: 2\n", 2),
            ("application/postscript", b"%!PS\n%%Page: 1 1\nshowpage %%Page: 2 2\n", 2),
            ("application/postscript", b"%!PS\n/showpage {} def x showpage\nshowpage\nmyshowpage", 2),
            ("application/vnd.zebra-zpl", b"^XA^FDx^FS^XZ^XZ\n^XA^PQ3,0,1^XZ", 4),
            ("application/vnd.zebra-zpl", b"^XZ", 1),
            ("image/urf", b"UNIRAST\0\0\0\0\x07 rest", 7),
            ("image/jpeg", b"", 1),
            (
                "application/pdf",
                b"%PDF-1.4 <</Type /Pages /Count 3>> <</Type/Page /Parent>> <</Type /Page>> <<  /Type   /Page\n>> /Page /Type",
                3,
            ),
        ] {
            assert_eq!(pages(format, document), expected, "{format}: {:?}", String::from_utf8_lossy(document));
            for size in 1..document.len() {
                let mut counter = PageCounter::new(format);
                document.chunks(size).for_each(|block| counter.feed(block));
                assert_eq!(counter.pages(), expected, "{format} in blocks of {size}");
            }
        }
    }

    proptest! {
        #[test]
        fn total_and_the_same_in_any_blocks(
            document in proptest::collection::vec(
                prop_oneof![
                    any::<u8>().prop_map(|byte| vec![byte]),
                    proptest::sample::select(vec![
                        &b"\x0c"[..], b"\x1b", b"*b", b"3W", b"^XA", b"^XZ", b"^PQ9", b"showpage", b"%%Pages: ",
                        b"%%Page:", b"/Type", b"/Page", b"PwgRaster\0", b"\n", b"99999999999",
                    ]).prop_map(<[u8]>::to_vec),
                ],
                0..200,
            ),
            cuts in proptest::collection::vec(1usize..30, 1..20),
        ) {
            let document = document.concat();
            for format in FORMATS {
                let whole = pages(format, &document);
                let mut counter = PageCounter::new(format);
                let mut rest = document.as_slice();
                for cut in cuts.iter().cycle() {
                    if rest.is_empty() {
                        break;
                    }
                    let (block, more) = rest.split_at((*cut).min(rest.len()));
                    counter.feed(block);
                    rest = more;
                }
                prop_assert_eq!(counter.pages(), whole, "{}", format);
            }
        }
    }
}
