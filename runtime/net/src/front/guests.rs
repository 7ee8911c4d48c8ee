//! How a thread serves its guests: with the code of the front, under the same limits (`seats.rs` says what a guest is).

use std::any::Any;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::connection::{self, Arrival};
use super::seats::{Guest, Guests, Origin, Seat, lock};
use super::sweep::sweep_guests;
use super::trunk::{Call, Course, Handler, Shared, Trunk};
use super::way::Way;
use crate::line::Line;
use crate::upgrade::Place;

impl<H: Handler> Origin for Trunk<H> {
    fn seat(self: Arc<Self>, guests: &Guests, guest: Guest) {
        let shared = branch(&self, guests);
        if *self.course.borrow() != Course::Serving {
            shared.roster.drain();
        }
        let fd = std::os::fd::AsRawFd::as_raw_fd(&guest.stream);
        // A connection that no reactor takes is closed.
        let Ok(line) = Line::from_std(guest.stream, guest.session.clone()) else { return };
        let (seat, seated) = guests.seats.join(Seat::new(
            (fd, guest.session),
            guest.room.clone(),
            guest.patience,
            guest.ends,
            guest.front,
            guest.origin,
        ));
        let way = Way::to_room(seat, guest.room, guest.patience);
        shared.roster.refresh();
        let arrival = Arrival {
            line,
            read: guest.read,
            ends: guest.ends,
            place: guest.place,
            way,
            front: guest.front,
            seated: Some(seated),
        };
        shared.roster.enter();
        if !shared.swept.replace(true) {
            tokio::task::spawn_local(sweep_guests(Rc::clone(&shared)));
        }
        tokio::task::spawn_local(async move {
            connection::serve(Rc::clone(&shared), arrival).await;
            shared.roster.leave();
        });
    }

    fn take_back(&self, guest: Guest) {
        if let Some(calls) = self.calls.get(guest.front) {
            // A front that has ended closes it.
            let _ended = calls.send(Call::Return(Box::new(guest)));
        }
    }

    fn place(&self, peer: IpAddr) -> Place {
        self.connections.fetch_add(1, Ordering::Relaxed);
        let hold = self.options.clients.as_ref().and_then(|clients| clients.again(peer));
        Place::new(Arc::clone(&self.connections), hold)
    }
}

// What the guests from one front share on this thread.
fn branch<H: Handler>(trunk: &Arc<Trunk<H>>, guests: &Guests) -> Rc<Shared<H>> {
    let mut branch = guests.branch.borrow_mut();
    let known = branch.clone().and_then(|known| known.downcast::<Shared<H>>().ok());
    if let Some(known) = known.filter(|known| Arc::ptr_eq(&known.trunk, trunk)) {
        return known;
    }
    let shared = Rc::new(Shared::new(Arc::clone(trunk)));
    let mut all = lock(&trunk.seats);
    all.retain(|seats| seats.strong_count() > 0);
    all.push(Arc::downgrade(&guests.seats));
    drop(all);
    *branch = Some(Rc::clone(&shared) as Rc<dyn Any>);
    shared
}
