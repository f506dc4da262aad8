"""The command line: `python -m models.starter build | train NAME | export NAME | suite | evaluate | cards`."""

import argparse
import os


def parser() -> argparse.ArgumentParser:
    """The verbs and their options."""
    top = argparse.ArgumentParser(prog="python -m models.starter", description=__doc__)
    verbs = top.add_subparsers(dest="verb", required=True)
    build = verbs.add_parser("build", help="the whole pipeline, resumable")
    build.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cores to use at once")
    train = verbs.add_parser("train", help="train one model, or take its training up")
    train.add_argument("name", choices=("planner", "math", "text", "verifier", "generalist"))
    train.add_argument("--workers", type=int, default=None, help="processes of one thread each")
    export = verbs.add_parser("export", help="write the weights of the last checkpoint")
    export.add_argument("name", choices=("planner", "math", "text", "verifier", "generalist"))
    verbs.add_parser("own-errors", help="collect the executors' own errors for the verifier")
    verbs.add_parser("suite", help="write the held-out suite")
    evaluate = verbs.add_parser("evaluate", help="measure the committed weights")
    evaluate.add_argument("--threads", type=int, default=1)
    evaluate.add_argument("--part", choices=("steps", "team", "generalist"), help="only this part; then `merge`")
    verbs.add_parser("merge", help="write evaluation.json from all parts")
    verbs.add_parser("cards", help="write the model cards")
    return top


def main() -> None:
    """Runs one verb; torch is only imported by those that need it."""
    options = parser().parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if options.verb == "suite":
        from models.starter.suite import write_suite

        write_suite()
    elif options.verb == "cards":
        from models.starter.cards import write_cards

        write_cards()
    elif options.verb == "build":
        from models.starter.build import build

        build(options.jobs)
    elif options.verb == "evaluate":
        from models.starter.evaluate import PARTS, evaluate_part, merge

        for part in [options.part] if options.part else PARTS:
            evaluate_part(part, options.threads)
        if not options.part:
            merge()
    elif options.verb == "merge":
        from models.starter.evaluate import merge

        merge()
    elif options.verb == "own-errors":
        from models.starter.build import collect_own_errors

        collect_own_errors()
    else:
        from models.starter.train import export_checkpoint, train

        if options.verb == "train":
            train(options.name, options.workers)
        else:
            export_checkpoint(options.name)


if __name__ == "__main__":
    main()
