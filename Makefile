# make demo: simulate, write a paired dataset, check it, draw it.   make test: every test.
# make test-learning: the runs that must learn, for minutes instead of seconds.
.PHONY: demo test test-learning setup build lint clean
CARGO ?= cargo
# The small form of the demo: make demo DEMO_FLAGS=--small
DEMO_FLAGS ?=

demo: setup
	$(CARGO) run --release --locked --bin bingrasp -- demo --out out/demo $(DEMO_FLAGS)

test: setup
	$(CARGO) test --release --locked

test-learning: setup
	BINGRASP_LEARNING=full $(CARGO) test --release --locked --lib learning_ -- --nocapture --test-threads 1

build:
	$(CARGO) build --release --locked

lint:
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --release --locked --all-targets -- -D warnings

# A Vulkan driver: the machine's own, or Mesa's software one.
setup:
	@sh scripts/setup.sh

clean:
	rm -rf out
