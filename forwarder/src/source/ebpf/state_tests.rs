use super::*;

#[test]
fn a_hole_is_final_one_round_after_nothing_was_in_flight() {
    let mut hole = Hole::new(100, 1);
    assert!(!hole.is_final(100, 1, || false));
    assert!(!hole.is_final(100, 2, || true));
    assert!(!hole.is_final(100, 2, || true));
    assert!(hole.is_final(100, 3, || false));
}

#[test]
fn what_is_known_of_one_hole_does_not_condemn_the_next() {
    let mut hole = Hole::new(100, 1);
    assert!(!hole.is_final(100, 1, || true));
    assert!(!hole.is_final(250, 2, || false));
    assert!(!hole.is_final(250, 3, || false));
    hole.since -= 2 * HOLE_PATIENCE;
    assert!(!hole.is_final(300, 4, || false));
}
