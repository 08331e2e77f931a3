"""`make demo`: from git push to new code on a device, on this machine, in one minute."""

import argparse
import pathlib
import shutil
import signal
import sys
import time

from deploy.demo.story import Story


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave it running to look around")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = pathlib.Path(".kiln/demo").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began = time.monotonic()
    with Story(folder, say=lambda line: print(line, flush=True)) as story:
        try:
            tell(story)
        except (RuntimeError, TimeoutError, OSError) as error:
            print(f"\nThe demo broke off: {error}\nThe log is in {story.kiln.data / 'kiln.log'}", file=sys.stderr)
            return 1
        table(story, time.monotonic() - began)
        if given.keep:
            look_around(story)
    return 0


def tell(story: Story) -> None:
    print("Kiln: git push in, signed firmware out, every board updates itself.\n")
    story.start()
    print(f"      address {story.kiln.url}   admin token {story.kiln.token}")
    story.register()
    story.enrol()
    story.first_version()
    story.good_update()
    story.bad_release()
    story.tampered()


def table(story: Story, seconds: float) -> None:
    print("\n  seconds  step")
    for step in story.steps:
        print(f"  {step.seconds:7.2f}  {step.name}" + (f"\n           -> {step.detail}" if step.detail else ""))
    print(f"  {seconds:7.2f}  all of it\n")


def look_around(story: Story) -> None:
    kiln = story.kiln
    print(f"Still running. Builds: {kiln.url}/   badge: {kiln.url}/badges/local/demo/blink.svg")
    print(f"Sign in at {kiln.url}/login with {kiln.token}")
    print(f"Push something yourself: cd {story.repository.work} && edit src/main.py && git commit -am ... && git push")
    print("Ctrl-C ends it.", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    sys.exit(main())
