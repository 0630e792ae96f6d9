//! Tells PJL commands from documents in a stream of bytes. The header of [`super`] has the states.

use super::{Command, MAX_LINE, UEL};

/// What begins a command.
const PREFIX: &[u8] = b"@PJL";

/// One part of the stream, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::simulate) enum Piece {
    /// A command, already taken out.
    Command(Command),
    /// Bytes of the document; a document begins with its first.
    Document(Vec<u8>),
    /// UEL: the document before it, if there was one, is whole.
    Exit,
}

/// Splits one stream. What comes out does not depend on how it was cut into blocks, but for the borders between
/// [`Piece::Document`]s.
#[derive(Debug)]
pub(in crate::simulate) struct Splitter {
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing yet that decides.
    Open(Vec<u8>),
    /// Between commands: the line so far.
    Commands(Vec<u8>),
    /// In a command that is too long.
    Overlong,
    /// In a document, with so many bytes of a UEL held back.
    Document(usize),
}

impl Default for Splitter {
    fn default() -> Splitter {
        Splitter { state: State::Open(Vec::new()) }
    }
}

impl Splitter {
    /// Takes a block; gives its pieces.
    pub(in crate::simulate) fn feed(&mut self, mut block: &[u8]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        while let Some(first) = block.first().copied() {
            match &mut self.state {
                State::Document(held) => {
                    let (used, ended) = document(block, held, &mut pieces);
                    block = block.get(used..).unwrap_or_default();
                    if ended {
                        pieces.push(Piece::Exit);
                        self.state = State::Commands(Vec::new());
                    }
                    continue;
                }
                State::Overlong => {
                    if first == b'\n' {
                        self.state = State::Commands(Vec::new());
                    }
                }
                State::Open(line) | State::Commands(line) => {
                    line.push(first);
                    self.line(&mut pieces);
                }
            }
            block = block.get(1..).unwrap_or_default();
        }
        pieces
    }

    /// The stream has ended.
    pub(in crate::simulate) fn finish(self) -> Vec<Piece> {
        let rest = match self.state {
            State::Document(held) => UEL.get(..held).unwrap_or_default().to_vec(),
            // `@PJL INFO` without its LF is no document; `@P` is.
            State::Open(line) | State::Commands(line) if !line.starts_with(PREFIX) => line,
            _ => Vec::new(),
        };
        if rest.is_empty() { Vec::new() } else { vec![Piece::Document(rest)] }
    }

    /// Decides, after one more byte of a line.
    fn line(&mut self, pieces: &mut Vec<Piece>) {
        let (line, open) = match &mut self.state {
            State::Open(line) => (line, true),
            State::Commands(line) => (line, false),
            _ => return,
        };
        if line == UEL {
            pieces.push(Piece::Exit);
            self.state = State::Commands(Vec::new());
        } else if UEL.starts_with(line) || PREFIX.starts_with(line) {
            // Not decided.
        } else if is_command(line) {
            if line.ends_with(b"\n") {
                let command = Command::parse(line);
                let enters = matches!(command, Command::Enter { .. });
                pieces.push(Piece::Command(command));
                self.state = if enters { State::Document(0) } else { State::Commands(Vec::new()) };
            } else if line.len() >= MAX_LINE {
                self.state = State::Overlong;
            }
        } else if !open && matches!(line.as_slice(), b"\r" | b"\n" | b" " | b"\t") {
            line.clear();
        } else {
            let line = std::mem::take(line);
            let mut held = 0;
            // What was read as the beginning of a command may itself hold the beginning of a UEL.
            document(&line, &mut held, pieces);
            self.state = State::Document(held);
        }
    }
}

/// `@PJL`, then the end of the line or white space.
fn is_command(line: &[u8]) -> bool {
    let after = line.strip_prefix(PREFIX).map(<[u8]>::first);
    matches!(after, Some(None | Some(b' ' | b'\t' | b'\r' | b'\n')))
}

/// Reads on in a document up to a UEL or the end of the block: how many bytes were used, and whether it was a UEL.
fn document(block: &[u8], held: &mut usize, pieces: &mut Vec<Piece>) -> (usize, bool) {
    let mut bytes = Vec::with_capacity(block.len());
    for (at, byte) in block.iter().enumerate() {
        if UEL.get(*held) == Some(byte) {
            *held += 1;
            if *held == UEL.len() {
                *held = 0;
                push(bytes, pieces);
                return (at + 1, true);
            }
            continue;
        }
        // ESC stands only at the front of UEL: a false start can begin again only with this byte.
        bytes.extend_from_slice(UEL.get(..*held).unwrap_or_default());
        *held = 0;
        if UEL.first() == Some(byte) {
            *held = 1;
        } else {
            bytes.push(*byte);
        }
    }
    push(bytes, pieces);
    (block.len(), false)
}

fn push(bytes: Vec<u8>, pieces: &mut Vec<Piece>) {
    if !bytes.is_empty() {
        pieces.push(Piece::Document(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Documents joined, so that blocks make no difference.
    fn split<'a>(blocks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Piece> {
        let mut splitter = Splitter::default();
        let mut all: Vec<Piece> = Vec::new();
        let mut add = |piece: Piece| match (all.last_mut(), piece) {
            (Some(Piece::Document(before)), Piece::Document(more)) => before.extend(more),
            (_, piece) => all.push(piece),
        };
        blocks.into_iter().for_each(|block| splitter.feed(block).into_iter().for_each(&mut add));
        splitter.finish().into_iter().for_each(&mut add);
        all
    }

    fn show(stream: &[u8]) -> String {
        let pieces = split([stream]).into_iter().map(|piece| match piece {
            Piece::Command(command) => format!("{command:?}"),
            Piece::Document(bytes) => format!("[{}]", bytes.escape_ascii()),
            Piece::Exit => "X".to_owned(),
        });
        pieces.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn commands_are_taken_out_and_documents_are_left_alone() {
        for (stream, expected) in [
            (&b"hello\n"[..], r"[hello\n]"),
            (b"\n", r"[\n]"),
            (b"@P", "[@P]"),
            (b"@PJLX\n", r"[@PJLX\n]"),
            (b"@pjl info id\n", r"[@pjl info id\n]"),
            (b"\x1b", r"[\x1b]"),
            (b"\x1b%-1234", r"[\x1b%-1234]"),
            (b"\x1b%-12345X", "X"),
            (b"\x1b%-12345X\r\n", "X"),
            (b"\x1b%-12345X\r\n%PDF\n\x1b%-12345X", r"X [%PDF\n] X"),
            (b"\x1b%-12345X@PJL\r\n@PJL COMMENT x\n\x1bE\x0c\x1b\x1b%-12345X", r"X Bare Comment [\x1bE\x0c\x1b] X"),
            (b"\x1b%-12345X@PJL ENTER LANGUAGE=PDF\n\n%PDF", r#"X Enter { language: "PDF" } [\n%PDF]"#),
            (b"@PJL INFO ID", ""),
            (b"a\x1b%-12345\x1b%-12345Xb", r"[a\x1b%-12345] X [b]"),
        ] {
            assert_eq!(show(stream), expected, "{}", stream.escape_ascii());
        }
        let long = [b"@PJL COMMENT ".as_slice(), &[b'x'; MAX_LINE], b"\n@PJL\nrest"].concat();
        assert_eq!(show(&long), "Bare [rest]");
    }

    fn streams() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..8),
            proptest::sample::select(vec![
                &b"\x1b%-12345X"[..],
                b"\x1b%-123",
                b"@PJL",
                b"@PJL INFO ID\r\n",
                b"@PJL ENTER LANGUAGE = PCL\n",
                b"\n",
                b"@PJL JOB NAME=\"x\"\n",
                b"\x1b",
                b"\r\n",
                b" ",
                b"\x0c",
                b"@PJL EOJ\n",
                b"@P",
                b"document",
            ])
            .prop_map(<[u8]>::to_vec),
        ];
        proptest::collection::vec(part, 0..30).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn blocks_make_no_difference(stream in streams(), cuts in proptest::collection::vec(1usize..20, 1..20)) {
            let mut blocks = Vec::new();
            let mut rest = stream.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (block, more) = rest.split_at((*cut).min(rest.len()));
                blocks.push(block);
                rest = more;
            }
            prop_assert_eq!(split(blocks), split([stream.as_slice()]));
        }

        #[test]
        fn a_document_without_pjl_comes_out_as_it_went_in(document in proptest::collection::vec(any::<u8>(), 1..200)) {
            let ends = document.windows(UEL.len()).any(|window| window == UEL);
            prop_assume!(!ends && document.first() != Some(&b'@'));
            prop_assert_eq!(split([document.as_slice()]), vec![Piece::Document(document.clone())]);
            let wrapped = [UEL, b"@PJL ENTER LANGUAGE=PCL\n", &document, UEL, b"@PJL EOJ\n", UEL].concat();
            let documents: Vec<u8> = split([wrapped.as_slice()])
                .into_iter()
                .filter_map(|piece| match piece {
                    Piece::Document(bytes) => Some(bytes),
                    _ => None,
                })
                .flatten()
                .collect();
            // A UEL can begin at the end of the document only if the document holds a part of it.
            prop_assert_eq!(documents, document);
        }
    }
}
