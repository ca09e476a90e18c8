//! Things numbered one after the other, of which the oldest are put away, so that years of them fit.

use std::collections::VecDeque;
use std::ops::{Index, IndexMut};

/// Things by their numbers.
#[derive(Debug)]
pub struct Shelf<T> {
    first: usize,
    things: VecDeque<T>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Shelf<T> {
        Shelf { first: 0, things: VecDeque::new() }
    }
}

impl<T> Shelf<T> {
    /// The number of the next one.
    pub fn next(&self) -> usize {
        self.first + self.things.len()
    }

    /// The number of the oldest that is still there.
    pub fn first(&self) -> usize {
        self.first
    }

    pub fn push(&mut self, thing: T) {
        self.things.push_back(thing);
    }

    /// One that was not put away.
    pub fn get(&self, number: usize) -> Option<&T> {
        self.things.get(number.checked_sub(self.first)?)
    }

    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.things.get_mut(number.checked_sub(self.first)?)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (usize, &T)> {
        let first = self.first;
        self.things.iter().enumerate().map(move |(index, thing)| (first + index, thing))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.things.iter_mut()
    }

    /// Takes the oldest away where it is old enough.
    pub fn take_oldest_if(&mut self, is_old: impl FnOnce(&T) -> bool) -> Option<(usize, T)> {
        if !is_old(self.things.front()?) {
            return None;
        }
        let number = self.first;
        self.first += 1;
        self.things.pop_front().map(|thing| (number, thing))
    }
}

impl<T> Index<usize> for Shelf<T> {
    type Output = T;

    fn index(&self, number: usize) -> &T {
        self.get(number).expect("one that is still in use")
    }
}

impl<T> IndexMut<usize> for Shelf<T> {
    fn index_mut(&mut self, number: usize) -> &mut T {
        self.get_mut(number).expect("one that is still in use")
    }
}
