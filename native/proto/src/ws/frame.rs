//! Frames (RFC 6455 section 5.2): their heads, read and written.
//!
//! ```text
//!  first byte   FIN RSV1 RSV2 RSV3, four bits of opcode
//!  second byte  MASK, seven bits of length: up to 125, or 126 and 127 for a length in 2 and 8 bytes more
//!  then         that length, the four bytes of a client's mask, the payload
//! ```
//!
//! What is wrong with a head by itself is found here, as soon as its bytes are there. How frames
//! follow one another is the state machine's affair, and how long they may be the limits'.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Binary,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Continuation,
    Data(Kind),
    Close,
    Ping,
    Pong,
}

/// Bytes of the longest payload of a control frame (section 5.5).
pub(super) const CONTROL: usize = 125;

/// What is wrong with a head. All of it is a protocol error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// The head of a client's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
    /// RSV1, which begins a compressed message (RFC 7692 section 6).
    pub(super) compressed: bool,
    pub(super) mask: [u8; 4],
    /// Bytes of the payload.
    pub(super) payload: u64,
    /// Bytes of the head itself.
    pub(super) len: usize,
}

impl Head {
    /// Reads a head; `None` while bytes of it are missing. `deflate`: compression was negotiated.
    pub(super) fn parse(input: &[u8], deflate: bool) -> Result<Option<Self>, Malformed> {
        let &[first, second, ref rest @ ..] = input else {
            return Ok(None);
        };
        let fin = first & 0x80 != 0;
        let compressed = first & 0x40 != 0;
        let opcode = match first & 0x0f {
            0 => Opcode::Continuation,
            1 => Opcode::Data(Kind::Text),
            2 => Opcode::Data(Kind::Binary),
            8 => Opcode::Close,
            9 => Opcode::Ping,
            10 => Opcode::Pong,
            _ => return Err(Malformed("reserved opcode")),
        };
        // RFC 7692 section 6.1: the bit is for the first frame of a message.
        if first & 0x30 != 0 || (compressed && !(deflate && matches!(opcode, Opcode::Data(_)))) {
            return Err(Malformed("reserved bit set"));
        }
        // Section 5.1: a client masks every frame.
        if second & 0x80 == 0 {
            return Err(Malformed("frame without a mask"));
        }
        let short = second & 0x7f;
        // Section 5.5: control frames are short and whole.
        let control = !matches!(opcode, Opcode::Continuation | Opcode::Data(_));
        if control && !fin {
            return Err(Malformed("fragmented control frame"));
        }
        if control && usize::from(short) > CONTROL {
            return Err(Malformed("control frame too long"));
        }
        let (width, least) = match short {
            126 => (2, 126),
            127 => (8, 0x1_0000),
            _ => (0, 0),
        };
        let Some((long, rest)) = rest.split_at_checked(width) else {
            return Ok(None);
        };
        let payload = match width {
            0 => u64::from(short),
            _ => long
                .iter()
                .fold(0, |len, &octet| len << 8 | u64::from(octet)),
        };
        // Section 5.2: a length has its shortest form, and 63 bits at most.
        if payload < least || payload >> 63 != 0 {
            return Err(Malformed("malformed frame length"));
        }
        let Some(&mask) = rest.first_chunk() else {
            return Ok(None);
        };
        Ok(Some(Self {
            opcode,
            fin,
            compressed,
            mask,
            payload,
            len: 2 + width + mask.len(),
        }))
    }
}

/// The head of a frame of ours, neither masked nor fragmented (sections 5.1 and 5.4), and its length.
pub(super) fn head(opcode: Opcode, compressed: bool, payload: u64) -> ([u8; 10], usize) {
    let code = match opcode {
        Opcode::Continuation => 0,
        Opcode::Data(Kind::Text) => 1,
        Opcode::Data(Kind::Binary) => 2,
        Opcode::Close => 8,
        Opcode::Ping => 9,
        Opcode::Pong => 10,
    };
    let mut head = [0; 10];
    head[0] = 0x80 | u8::from(compressed) << 6 | code;
    if let Ok(short @ 0..126) = u8::try_from(payload) {
        head[1] = short;
        (head, 2)
    } else if let Ok(long) = u16::try_from(payload) {
        head[1] = 126;
        head[2..4].copy_from_slice(&long.to_be_bytes());
        (head, 4)
    } else {
        head[1] = 127;
        head[2..].copy_from_slice(&payload.to_be_bytes());
        (head, 10)
    }
}

/// Writes the head of a frame of ours whose payload follows as it is.
pub(super) fn write_head(out: &mut Vec<u8>, opcode: Opcode, payload: u64) {
    let (head, len) = head(opcode, false, payload);
    out.extend_from_slice(&head[..len]);
}

/// Writes a frame of ours.
pub(super) fn write(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    write_head(out, opcode, payload.len() as u64);
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All first and second bytes, beside the rules said once more in other words.
    #[test]
    fn a_head_is_judged_by_its_first_two_bytes() {
        for first in 0..=255_u8 {
            for second in 0..=255_u8 {
                for deflate in [false, true] {
                    let opcode = first & 15;
                    let control = opcode >= 8;
                    let known = [0, 1, 2, 8, 9, 10].contains(&opcode);
                    let bits = match first & 0x70 {
                        0 => true,
                        0x40 => deflate && (opcode == 1 || opcode == 2),
                        _ => false,
                    };
                    let whole = !control || (first >= 0x80 && second & 0x7f <= 125);
                    let good = known && bits && whole && second >= 0x80;
                    let head = Head::parse(&[first, second], deflate);
                    assert_eq!(head.is_ok(), good, "{first:#x} {second:#x} {deflate}");
                    assert!(head.is_err() || head == Ok(None), "the mask is missing");
                }
            }
        }
    }

    #[test]
    fn lengths_have_one_form_each_and_are_written_in_it() {
        let lengths = [
            0,
            1,
            125,
            126,
            127,
            0xff,
            0x100,
            0xffff,
            0x1_0000,
            u64::from(u32::MAX),
            i64::MAX.unsigned_abs(),
        ];
        for payload in lengths {
            let mut written = Vec::new();
            write_head(&mut written, Opcode::Data(Kind::Binary), payload);
            written[1] |= 0x80;
            written.extend_from_slice(b"mask");
            for cut in 0..written.len() {
                assert_eq!(Head::parse(&written[..cut], false), Ok(None));
            }
            let head = Head::parse(&written, false).unwrap().unwrap();
            assert_eq!((head.payload, head.len), (payload, written.len()));
            assert_eq!(head.mask, *b"mask");
        }
        for (length, good) in [
            (&b"\xfe\x00\x7d"[..], false),
            (b"\xfe\x00\x7e", true),
            (b"\xff\x00\x00\x00\x00\x00\x00\xff\xff", false),
            (b"\xff\x00\x00\x00\x00\x00\x01\x00\x00", true),
            (b"\xff\x7f\xff\xff\xff\xff\xff\xff\xff", true),
            (b"\xff\x80\x00\x00\x00\x00\x00\x00\x00", false),
        ] {
            let input = [b"\x82", length].concat();
            assert_eq!(Head::parse(&input, false).is_ok(), good, "{length:x?}");
        }
    }
}
