//! Which messages belong together (RFC 5256 §3). In: messages with dates, base subjects and ids. Out: threads, as THREAD tells them. Never more steps than
//! [`MAX_STEPS`], whatever the messages say of each other.

use std::collections::HashMap;

use super::subject::Answers;

/// What is known of a message.
pub(crate) struct Member {
    pub(crate) number: u32,
    /// Seconds since 1970.
    pub(crate) sent: i64,
    /// The base subject.
    pub(crate) subject: String,
    pub(crate) answers: Answers,
    pub(crate) id: Option<String>,
    /// From the first to the last.
    pub(crate) references: Vec<String>,
}

/// There are too many references to follow.
#[derive(Debug)]
pub(crate) struct TooDeep;

/// Steps from a message to the first of its thread, all taken together.
const MAX_STEPS: usize = 50_000_000;

/// Threads by subject alone (`ORDEREDSUBJECT`).
pub(crate) fn by_subject(mut members: Vec<Member>) -> String {
    members.sort_by(|one, other| (&one.subject, one.sent, one.number).cmp(&(&other.subject, other.sent, other.number)));
    let mut threads: Vec<&[Member]> = members.chunk_by(|one, other| one.subject == other.subject).collect();
    threads.sort_by_key(|thread| thread.first().map(|first| (first.sent, first.number)));
    let mut told = String::new();
    for thread in threads {
        let Some((first, rest)) = thread.split_first() else { continue };
        told.push_str(&format!("({}", first.number));
        match rest {
            [] => {}
            [only] => told.push_str(&format!(" {}", only.number)),
            several => {
                told.push(' ');
                several.iter().for_each(|member| told.push_str(&format!("({})", member.number)));
            }
        }
        told.push(')');
    }
    told
}

/// Threads by References, then by subject (`REFERENCES`).
pub(crate) fn by_references(members: &[Member]) -> Result<String, TooDeep> {
    let mut forest = Forest { members, nodes: Vec::with_capacity(members.len()), none: Vec::new(), steps: 0 };
    forest.link()?;
    let roots = forest.prune();
    let roots = forest.gather(roots);
    Ok(forest.told(&roots))
}

/// A message, or a place where one is missing.
#[derive(Default)]
struct Node {
    member: Option<usize>,
    parent: Option<usize>,
    children: Vec<usize>,
}

struct Forest<'m> {
    members: &'m [Member],
    nodes: Vec<Node>,
    /// Of a node that there is not.
    none: Vec<usize>,
    steps: usize,
}

impl<'m> Forest<'m> {
    /// Step 1: parents and children, by their ids.
    fn link(&mut self) -> Result<(), TooDeep> {
        let members = self.members;
        let mut known: HashMap<&'m str, usize> = HashMap::with_capacity(members.len());
        for (at, member) in members.iter().enumerate() {
            let own = match member.id.as_deref() {
                Some(id) => {
                    let node = self.named(&mut known, id);
                    // Two with one id: the second is taken for a message without.
                    if self.nodes.get(node).is_some_and(|node| node.member.is_none()) { node } else { self.add() }
                }
                None => self.add(),
            };
            if let Some(node) = self.nodes.get_mut(own) {
                node.member = Some(at);
            }
            let mut before = None;
            for id in &member.references {
                let node = self.named(&mut known, id);
                if let Some(parent) = before
                    && self.nodes.get(node).is_some_and(|node| node.parent.is_none())
                {
                    self.adopt(parent, node)?;
                }
                before = Some(node);
            }
            if let Some(node) = self.nodes.get_mut(own) {
                node.parent = None;
            }
            if let Some(parent) = before {
                self.adopt(parent, own)?;
            }
        }
        Ok(())
    }

    fn add(&mut self) -> usize {
        self.nodes.push(Node::default());
        self.nodes.len().saturating_sub(1)
    }

    fn named(&mut self, known: &mut HashMap<&'m str, usize>, id: &'m str) -> usize {
        match known.get(id) {
            Some(node) => *node,
            None => {
                let node = self.add();
                known.insert(id, node);
                node
            }
        }
    }

    /// Unless the child comes before its parent already.
    fn adopt(&mut self, parent: usize, child: usize) -> Result<(), TooDeep> {
        let mut above = Some(parent);
        while let Some(node) = above {
            if node == child {
                return Ok(());
            }
            self.steps = self.steps.saturating_add(1);
            if self.steps > MAX_STEPS {
                return Err(TooDeep);
            }
            above = self.nodes.get(node).and_then(|node| node.parent);
        }
        if let Some(node) = self.nodes.get_mut(child) {
            node.parent = Some(parent);
        }
        Ok(())
    }

    /// Steps 2 and 3: children listed, places without a message taken out. What stands at the top.
    fn prune(&mut self) -> Vec<usize> {
        let mut top = Vec::new();
        for at in 0..self.nodes.len() {
            match self.nodes.get(at).and_then(|node| node.parent).and_then(|parent| self.nodes.get_mut(parent)) {
                Some(parent) => parent.children.push(at),
                None => top.push(at),
            }
        }
        for at in self.upwards(&top) {
            let children = std::mem::take(self.children(at));
            let mut kept = Vec::with_capacity(children.len());
            for child in children {
                match self.member(child) {
                    Some(_) => kept.push(child),
                    None => kept.append(self.children(child)),
                }
            }
            *self.children(at) = kept;
        }
        let mut roots = Vec::with_capacity(top.len());
        for at in top {
            let only = match (self.member(at), self.children(at).as_slice()) {
                (None, []) => None,
                (None, [only]) => Some(*only),
                _ => Some(at),
            };
            roots.extend(only);
        }
        roots
    }

    /// Steps 4 and 5: what has one subject is put together.
    fn gather(&mut self, mut roots: Vec<usize>) -> Vec<usize> {
        self.sort(&roots);
        roots.sort_by_cached_key(|root| self.date(*root));
        let mut table: HashMap<&'m str, usize> = HashMap::with_capacity(roots.len());
        for &root in &roots {
            let Some((subject, answers)) = self.subject(root).filter(|(subject, _)| !subject.is_empty()) else {
                continue;
            };
            let Some(kept) = table.get(subject).copied() else {
                table.insert(subject, root);
                continue;
            };
            let is_better = self.member(root).is_none()
                || (self.subject(kept).is_some_and(|(_, answers)| answers == Answers::Something)
                    && answers == Answers::Nothing);
            if self.member(kept).is_some() && is_better {
                table.insert(subject, root);
            }
        }
        let mut gone = vec![false; self.nodes.len()];
        let mut made = Vec::new();
        for &root in &roots {
            let Some((subject, answers)) = self.subject(root).filter(|(subject, _)| !subject.is_empty()) else {
                continue;
            };
            let Some(kept) = table.get(subject).copied().filter(|kept| *kept != root) else { continue };
            let of_kept = self.subject(kept).map(|(_, answers)| answers).unwrap_or_default();
            if let Some(gone) = gone.get_mut(root) {
                *gone = true;
            }
            match (self.member(kept), self.member(root)) {
                (None, None) => {
                    let mut children = std::mem::take(self.children(root));
                    self.children(kept).append(&mut children);
                }
                (None, Some(_)) => self.children(kept).push(root),
                _ if answers == Answers::Something && of_kept == Answers::Nothing => self.children(kept).push(root),
                _ => {
                    let both = self.add();
                    *self.children(both) = vec![kept, root];
                    table.insert(subject, both);
                    made.push((kept, both));
                }
            }
        }
        // The new place stands where the first of its messages stood.
        let made: HashMap<usize, usize> = made.into_iter().collect();
        let stays = |root: &usize| !gone.get(*root).copied().unwrap_or_default();
        let mut roots: Vec<usize> =
            roots.iter().filter(|root| stays(root)).map(|root| made.get(root).copied().unwrap_or(*root)).collect();
        self.sort(&roots);
        roots.sort_by_cached_key(|root| self.date(*root));
        roots
    }

    /// Step 6: siblings by date, from below.
    fn sort(&mut self, roots: &[usize]) {
        for at in self.upwards(roots) {
            let mut children = std::mem::take(self.children(at));
            children.sort_by_cached_key(|child| self.date(*child));
            *self.children(at) = children;
        }
    }

    /// Each after all that is below it.
    fn upwards(&self, roots: &[usize]) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut open = roots.to_vec();
        while let Some(at) = open.pop() {
            order.push(at);
            open.extend(self.nodes.get(at).map(|node| node.children.as_slice()).unwrap_or_default());
        }
        order.reverse();
        order
    }

    fn children(&mut self, at: usize) -> &mut Vec<usize> {
        match self.nodes.get_mut(at) {
            Some(node) => &mut node.children,
            None => &mut self.none,
        }
    }

    fn member(&self, at: usize) -> Option<&'m Member> {
        self.members.get(self.nodes.get(at)?.member?)
    }

    /// Of a place without a message, the first child's, which is sorted already.
    fn first(&self, mut at: usize) -> Option<&'m Member> {
        loop {
            match self.member(at) {
                Some(member) => return Some(member),
                None => at = *self.nodes.get(at)?.children.first()?,
            }
        }
    }

    fn date(&self, at: usize) -> Option<(i64, u32)> {
        self.first(at).map(|member| (member.sent, member.number))
    }

    fn subject(&self, at: usize) -> Option<(&'m str, Answers)> {
        self.first(at).map(|member| (member.subject.as_str(), member.answers))
    }

    /// RFC 5256 §5 `thread-list`.
    fn told(&self, roots: &[usize]) -> String {
        enum Next {
            Open(usize),
            Close,
        }
        let mut told = String::new();
        let mut next: Vec<Next> = roots.iter().rev().map(|root| Next::Open(*root)).collect();
        while let Some(step) = next.pop() {
            let Next::Open(mut at) = step else {
                told.push(')');
                continue;
            };
            told.push('(');
            next.push(Next::Close);
            loop {
                if let Some(member) = self.member(at) {
                    told.push_str(&member.number.to_string());
                }
                let children = self.nodes.get(at).map(|node| node.children.as_slice()).unwrap_or_default();
                if !children.is_empty() && self.member(at).is_some() {
                    told.push(' ');
                }
                match children {
                    [] => break,
                    [only] => at = *only,
                    several => {
                        next.extend(several.iter().rev().map(|child| Next::Open(*child)));
                        break;
                    }
                }
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]
    use super::*;
    use crate::bridge::subject::base;

    /// Subject, id, references, each sent a second after the one before.
    fn members(all: &[(&str, &str, &str)]) -> Vec<Member> {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let member = |(at, (subject, id, references)): (usize, &(&str, &str, &str))| {
            let (subject, answers) = base(subject);
            let sent = i64::try_from(at).unwrap();
            let number = u32::try_from(at).unwrap() + 1;
            Member { number, sent, subject, answers, id: words(id).pop(), references: words(references) }
        };
        all.iter().enumerate().map(member).collect()
    }

    fn check(all: &[(&str, &str, &str)], expected: &str) {
        assert_eq!(by_references(&members(all)).unwrap(), expected, "{all:?}");
    }

    #[test]
    fn threads_by_references() {
        check(&[], "");
        check(&[("a", "1", ""), ("b", "2", "1"), ("c", "3", "1 2")], "(1 2 3)");
        check(&[("a", "1", ""), ("b", "2", "1"), ("c", "3", "1")], "(1 (2)(3))");
        // The middle one is missing; a first one is missing.
        check(&[("a", "1", ""), ("b", "3", "1 2")], "(1 2)");
        check(&[("a", "2", "1"), ("b", "3", "1")], "((1)(2))");
        check(&[("a", "2", "1")], "(1)");
        // A circle, itself, an id twice.
        check(&[("a", "1", "2"), ("b", "2", "1")], "(2 1)");
        check(&[("a", "1", "1")], "(1)");
        check(&[("a", "1", ""), ("b", "1", ""), ("c", "3", "1")], "(1 3)(2)");
        // By subject.
        check(&[("a", "1", ""), ("Re: a", "2", "")], "(1 2)");
        check(&[("a", "1", ""), ("a", "2", "")], "((1)(2))");
        check(&[("a", "1", ""), ("a", "2", ""), ("Re: a", "3", "")], "((1)(2)(3))");
        check(&[("Re: a", "1", ""), ("a", "2", "")], "(2 1)");
        check(&[("", "1", ""), ("", "2", "")], "(1)(2)");
        // A parent is told anew.
        check(&[("a", "1", ""), ("b", "2", ""), ("c", "4", "3"), ("d", "5", "2 4"), ("e", "4x", "1")], "(1 5)(2)(3 4)");
    }

    #[test]
    fn threads_by_subject() {
        let all = [("b", "", ""), ("a", "", ""), ("Re: a", "", ""), ("a", "", ""), ("Re: b", "", "")];
        assert_eq!(by_subject(members(&all)), "(1 5)(2 (3)(4))");
    }

    #[test]
    fn chains_and_circles_without_end() {
        let ids: Vec<(String, String)> = (0..20_000).map(|at| (format!("i{at}"), format!("i{}", at + 1))).collect();
        let all: Vec<(&str, &str, &str)> = ids.iter().map(|(id, next)| ("s", id.as_str(), next.as_str())).collect();
        assert!(by_references(&members(&all)).is_ok());
        let all: Vec<(&str, &str, &str)> =
            ids.iter().rev().map(|(id, next)| ("s", id.as_str(), next.as_str())).collect();
        // Either it comes to an end, or says that there is none.
        let _ = by_references(&members(&all));
    }
}
