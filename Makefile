# make demo: simulate, write a paired dataset, check it, draw it.   make test: every test.
.PHONY: demo test setup build lint clean
CARGO ?= cargo
# The small form of the demo: make demo DEMO_FLAGS=--small
DEMO_FLAGS ?=

demo: setup
	$(CARGO) run --release --locked --bin bingrasp -- demo --out out/demo $(DEMO_FLAGS)

test: setup
	$(CARGO) test --release --locked

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
