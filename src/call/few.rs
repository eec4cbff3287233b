//! A list that has most often no element or one, and then allocates nothing.

/// Elements in no particular order.
#[derive(Debug)]
pub(super) struct Few<T> {
    first: Option<T>,
    rest: Vec<T>,
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self { first: None, rest: Vec::new() }
    }
}

impl<T> Few<T> {
    pub(super) fn push(&mut self, element: T) {
        match self.first {
            None => self.first = Some(element),
            Some(_) => self.rest.push(element),
        }
    }

    /// The element that `is_it`.
    pub(super) fn find(&mut self, mut is_it: impl FnMut(&T) -> bool) -> Option<&mut T> {
        self.first.iter_mut().chain(&mut self.rest).find(|element| is_it(element))
    }

    /// Takes out the element that `is_it`.
    pub(super) fn take(&mut self, mut is_it: impl FnMut(&T) -> bool) -> Option<T> {
        if self.first.as_ref().is_some_and(&mut is_it) {
            return self.first.take();
        }
        let index = self.rest.iter().position(is_it)?;
        Some(self.rest.swap_remove(index))
    }

    /// Takes one out, no matter which.
    pub(super) fn pop(&mut self) -> Option<T> {
        self.first.take().or_else(|| self.rest.pop())
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = std::iter::Chain<std::option::IntoIter<T>, std::vec::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.first.into_iter().chain(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::Few;

    #[test]
    fn what_is_put_in_is_found_and_taken_out_once() {
        let mut few = Few::default();
        for number in 0..4 {
            few.push(number);
        }
        assert_eq!(few.find(|it| *it == 2), Some(&mut 2));
        assert_eq!(few.take(|it| *it == 0), Some(0));
        assert_eq!(few.take(|it| *it == 0), None);
        assert_eq!(few.take(|it| *it == 3), Some(3));
        few.push(9);
        assert_eq!(few.pop(), Some(9));
        few.push(9);
        let mut left: Vec<i32> = few.into_iter().collect();
        left.sort_unstable();
        assert_eq!(left, [1, 2, 9]);
    }
}
