#!/bin/sh
# Makes the Debian package: the program, its manual page, completions, and a unit for systemd.
# usage: sh deploy/debian/pack.sh [BINARY [FOLDER]]; prints the path of the package last. Needs dpkg-deb, whose compression the
# variable COMPRESSION names.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
binary=${1:-$root/target/release/partyrun}
out=${2:-$root/target/deb}
version=$("$binary" --version | cut -d ' ' -f 2)
architecture=$(dpkg --print-architecture)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
chmod 755 "$tree"

install -D -m 755 "$binary" "$tree/usr/bin/partyrun"
strip "$tree/usr/bin/partyrun" 2> /dev/null || true
install -D -m 644 "$root/deploy/systemd/partyrun@.service" "$tree/usr/lib/systemd/system/partyrun@.service"
install -D -m 644 "$root/LICENSE" "$tree/usr/share/doc/partyrun/copyright"
install -m 644 "$root/THIRD-PARTY" "$tree/usr/share/doc/partyrun/THIRD-PARTY"
install -d -m 755 "$tree/etc/partyrun"
gzip -9n > "$tree/usr/share/doc/partyrun/changelog.gz" << CHANGES
partyrun ($version) unstable; urgency=medium

  * See CHANGELOG.md of the sources.

 -- The authors of partyrun <partyrun@localhost>  $(date -u -R -r "$root/CHANGELOG.md")
CHANGES
chmod 644 "$tree/usr/share/doc/partyrun/changelog.gz"
for shell in bash zsh fish; do
  case $shell in
    bash) file=usr/share/bash-completion/completions/partyrun ;;
    zsh) file=usr/share/zsh/vendor-completions/_partyrun ;;
    fish) file=usr/share/fish/vendor_completions.d/partyrun.fish ;;
  esac
  install -d -m 755 "$(dirname "$tree/$file")"
  "$binary" completions "$shell" > "$tree/$file"
done
install -d -m 755 "$tree/usr/share/man/man1" "$tree/DEBIAN"
"$binary" completions man | gzip -9n > "$tree/usr/share/man/man1/partyrun.1.gz"

# A package of Debian has its size in KiB.
size=$(du -sk --exclude=DEBIAN "$tree" | cut -f 1)
cat > "$tree/DEBIAN/control" << CONTROL
Package: partyrun
Version: $version
Architecture: $architecture
Maintainer: The authors of partyrun <partyrun@localhost>
Installed-Size: $size
Depends: libc6 (>= 2.35), libgcc-s1, ca-certificates
Section: web
Priority: optional
Description: runs PartyKit projects on your own machine
 One program that serves real-time projects written for PartyKit, unchanged:
 rooms with WebSocket connections, durable storage, alarms and crons.
CONTROL
mkdir -p "$out"
package=$out/partyrun_${version}_$architecture.deb
dpkg-deb --root-owner-group ${COMPRESSION:--Zxz -z3} --build "$tree" "$package" > /dev/null
echo "$package"
