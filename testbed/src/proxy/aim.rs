//! Frames of CQL that go by, and where to cut one (CQL binary protocol v4, §2: nine bytes of header, of which the fifth says
//! what the frame is and the last four how long its body is).

pub(super) const HEADER: usize = 9;

/// How many bytes follow this header.
pub(super) fn body_length(header: &[u8; HEADER]) -> usize {
    let [.., a, b, c, d] = *header;
    usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX)
}

/// Where a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutAt {
    /// In the middle of the frame: the server never gets it whole.
    Middle,
    /// Behind the frame: the server has it, and its answer does not come back.
    End,
}

/// What clients send over one connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: Vec<u8>,
    /// Of the body that goes by.
    left: usize,
    /// Of it, before the cut.
    doomed: Option<usize>,
}

impl Frames {
    /// How many of these bytes pass before the connection is closed; `None`: all, and it is not. `hit` tells whether a frame
    /// that begins here is aimed at, and is asked once for each.
    pub(super) fn cut(&mut self, bytes: &[u8], mut hit: impl FnMut(u8) -> Option<CutAt>) -> Option<usize> {
        let mut position = 0;
        while position < bytes.len() {
            if self.left == 0 {
                let missing = HEADER - self.header.len();
                let piece = &bytes[position..bytes.len().min(position + missing)];
                self.header.extend_from_slice(piece);
                position += piece.len();
                let Ok(header) = <[u8; HEADER]>::try_from(self.header.as_slice()) else { return None };
                self.header.clear();
                self.left = body_length(&header);
                self.doomed = hit(header[4]).map(|place| match place {
                    CutAt::Middle => self.left / 2,
                    CutAt::End => self.left,
                });
            } else {
                let passing = self.doomed.unwrap_or(self.left).min(bytes.len() - position);
                self.left -= passing;
                self.doomed = self.doomed.map(|doomed| doomed - passing);
                position += passing;
            }
            if self.doomed == Some(0) {
                return Some(position);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opcodes 7, 13 and 7, with bodies of 3, 6 and 0 bytes.
    const SENT: [u8; 36] = [
        4, 0, 0, 1, 7, 0, 0, 0, 3, 1, 2, 3, //
        4, 0, 0, 2, 13, 0, 0, 0, 6, 1, 2, 3, 4, 5, 6, //
        4, 0, 0, 3, 7, 0, 0, 0, 0,
    ];

    fn passed(piece: usize, place: CutAt) -> Option<usize> {
        let (mut frames, mut before) = (Frames::default(), 0);
        for bytes in SENT.chunks(piece) {
            if let Some(passed) = frames.cut(bytes, |opcode| (opcode == 13).then_some(place)) {
                return Some(before + passed);
            }
            before += bytes.len();
        }
        None
    }

    #[test]
    fn a_frame_is_cut_where_it_is_to_be_however_it_arrives() {
        for piece in 1..=SENT.len() {
            assert_eq!(passed(piece, CutAt::Middle), Some(12 + 9 + 3), "pieces of {piece}");
            assert_eq!(passed(piece, CutAt::End), Some(12 + 9 + 6), "pieces of {piece}");
        }
    }

    #[test]
    fn other_frames_pass() {
        for piece in 1..=SENT.len() {
            let mut frames = Frames::default();
            let mut seen = Vec::new();
            for bytes in SENT.chunks(piece) {
                let cut = frames.cut(bytes, |opcode| {
                    seen.push(opcode);
                    None
                });
                assert_eq!(cut, None);
            }
            assert_eq!(seen, [7, 13, 7], "pieces of {piece}");
        }
    }
}
