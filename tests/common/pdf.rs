//! Small valid PDFs.

/// A PDF of `pages` A4 pages, each with `text` and its number in Helvetica. The same arguments give the same bytes.
pub fn pdf(pages: usize, text: &str) -> Vec<u8> {
    let text: String = text.chars().filter(char::is_ascii).flat_map(escaped).collect();
    // Objects 1 catalogue, 2 page tree, 3 font; then a page and its content for each page.
    let kids: Vec<String> = (0..pages).map(|page| format!("{} 0 R", 4 + 2 * page)).collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!("<< /Type /Pages /Count {pages} /Kids [{}] >>", kids.join(" ")),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    for page in 0..pages {
        let content = format!("BT /F1 24 Tf 72 720 Td ({text}) Tj 0 -36 Td (page {} of {pages}) Tj ET", page + 1);
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> \
             /Contents {} 0 R >>",
            5 + 2 * page
        ));
        objects.push(format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()));
    }
    assemble(&objects)
}

/// A valid PDF of one page and of exactly `size` bytes (at least 1,000), filled up with a comment that does not repeat.
pub fn pdf_of_size(size: usize) -> Vec<u8> {
    let plain = pdf(1, "size").len();
    // "%" and a line end frame the filling; the offsets after it grow, but their fields have a fixed width.
    let filling = size.checked_sub(plain + 2).expect("a size of at least 1,000 bytes");
    let mut state: u32 = 0x9e37_79b9;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        b"0123456789abcdefghijklmnopqrstuv"[(state >> 27) as usize]
    });
    let mut bytes = pdf(1, "size");
    let end = bytes.windows(5).rposition(|window| window == b"xref\n").unwrap();
    // `rposition` meets the "xref" of "startxref" first.
    let table = bytes[..end].windows(5).rposition(|window| window == b"xref\n").unwrap();
    let comment: Vec<u8> = std::iter::once(b'%').chain(noise.take(filling)).chain([b'\n']).collect();
    let tail = bytes.split_off(table);
    bytes.extend(&comment);
    let table = bytes.len();
    // Everything before the table stays where it was; only the table itself has moved.
    let tail = String::from_utf8(tail).unwrap();
    let start = tail.rfind("startxref\n").unwrap();
    bytes.extend(&tail.as_bytes()[..start]);
    bytes.extend(format!("startxref\n{table:010}\n%%EOF\n").as_bytes());
    assert_eq!(bytes.len(), size);
    bytes
}

fn assemble(objects: &[String]) -> Vec<u8> {
    let mut file = String::from("%PDF-1.4\n");
    let mut offsets = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        offsets.push(file.len());
        file += &format!("{} 0 obj\n{object}\nendobj\n", index + 1);
    }
    let table = file.len();
    file += &format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for offset in offsets {
        file += &format!("{offset:010} 00000 n \n");
    }
    file += &format!("trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{table:010}\n%%EOF\n", objects.len() + 1);
    file.into_bytes()
}

/// Parentheses and backslashes are special in a PDF string.
fn escaped(c: char) -> Vec<char> {
    if matches!(c, '(' | ')' | '\\') { vec!['\\', c] } else { vec![c] }
}
