# The commands of the project. `make run` and `make test` install what is missing on a Debian machine.
.PHONY: run test fuzz lint bench build release clean

# The engine that `make run` uses: process or docker.
ENGINE ?= process

run:
	@scripts/install-missing build
	@cargo build --release
	@ENGINE=$(ENGINE) scripts/run

test: lint
	@scripts/install-missing build test
	@scripts/test

# What every parser does with whatever comes: a second each in `make test`, a minute each here (FUZZ_SECONDS).
fuzz:
	@scripts/install-missing build
	@scripts/fuzz

lint:
	@scripts/install-missing build
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	scripts/licences
	@if command -v cargo-deny >/dev/null; then cargo deny check; fi

bench:
	@scripts/install-missing build bench
	@cargo build --release
	@benches/run

build:
	@scripts/install-missing build
	cargo build

# Podman leaves its store mounted on itself.
clean:
	@! mountpoint -q target/test-podman/root/overlay || umount target/test-podman/root/overlay
	cargo clean
