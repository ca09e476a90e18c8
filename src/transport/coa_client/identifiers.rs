//! Which identifiers are in use from one of our sockets to one NAS (RFC 2865 3, Identifier).

/// A set of identifiers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Identifiers([u128; 2]);

impl Identifiers {
    /// Takes the first free one from `from` on, round the end; `None`: all are in use.
    ///
    /// Who hands in the one behind the last that was taken uses each as late again as can be: some
    /// NASes know a request that came again by its identifier alone.
    pub(super) fn take(&mut self, from: u8) -> Option<u8> {
        if *self == Identifiers([u128::MAX; 2]) {
            return None;
        }
        let identifier = (0..=u8::MAX).map(|step| from.wrapping_add(step)).find(|it| !self.is_taken(*it))?;
        let (half, bit) = place(identifier);
        self.0[half] |= bit;
        Some(identifier)
    }

    /// Gives one back.
    pub(super) fn free(&mut self, identifier: u8) {
        let (half, bit) = place(identifier);
        self.0[half] &= !bit;
    }

    fn is_taken(&self, identifier: u8) -> bool {
        let (half, bit) = place(identifier);
        self.0[half] & bit != 0
    }
}

fn place(identifier: u8) -> (usize, u128) {
    (usize::from(identifier >> 7), 1 << (identifier & 127))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_256_and_each_is_taken_once() {
        let mut identifiers = Identifiers::default();
        let mut taken: Vec<u8> = (0..256).filter_map(|_| identifiers.take(200)).collect();
        assert_eq!((taken[0], taken[55], taken[56]), (200, 255, 0));
        taken.sort_unstable();
        assert!(taken.into_iter().eq(0..=u8::MAX));
        assert_eq!(identifiers.take(0), None);
    }

    #[test]
    fn what_is_given_back_is_there_again() {
        let mut identifiers = Identifiers::default();
        while identifiers.take(0).is_some() {}
        for identifier in [0, 127, 128, 255] {
            identifiers.free(identifier);
            assert_eq!(identifiers.take(77), Some(identifier));
        }
        assert_eq!(identifiers.take(77), None);
    }
}
