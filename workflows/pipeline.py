"""The whole way: documents -> chunks -> tuned model -> figures against the base -> merged model -> report.

RUN/samples/      the sample documents and records, when no documents were named
RUN/extract/      documents.jsonl, chunks.jsonl, instructions.jsonl, manifest.json
RUN/data/         train.jsonl, evaluation.jsonl
RUN/train/        the run folder of the training
RUN/evaluation/   base/ and tuned/: evaluation.json, predictions.jsonl
RUN/merged/       the tuned model, ready for chat (full fine-tuning leaves it in RUN/train/)
RUN/steps/        the result of each finished step; a step that stands there is not done again
RUN/summary.json, RUN/report.html
"""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from document_processing.settings import DocumentProcessingSettings
from evaluation.settings import ComparisonSettings
from shared_utils.console import Console
from shared_utils.errors import DataValidationError
from shared_utils.file_utils import ensure_output_dir, remove_leftovers, sha256_of, write_json_atomic
from shared_utils.model_names import locate_model
from shared_utils.run_lock import run_lock
from shared_utils.training_logging import TrainingLoggingUtils
from workflows.fine_tuning import fine_tune
from workflows.fine_tuning_request import FineTuneRequest
from workflows.pipeline_data import load_questions, write_pipeline_data
from workflows.steps import Steps

REPLIES_SHOWN = 6
REPLY_TOKENS = 128


@dataclass(frozen=True)
class PipelineRequest:
    """Everything one pipeline needs.

    `fine_tuning` is the request of its training step; run folder, data and resuming are filled in here.
    """

    run_dir: Path
    documents: Path | None
    train_data: tuple[str, ...]
    eval_data: str | None
    document_processing: DocumentProcessingSettings
    comparison: ComparisonSettings
    fine_tuning: FineTuneRequest
    must_resume: bool = False

    @property
    def model(self) -> str:
        """Name of the model that is tuned."""
        return self.fine_tuning.settings.model_name


def run_pipeline(request: PipelineRequest, console: Console) -> dict[str, Any]:
    """Do every step that is not done yet; the summary, also saved as `summary.json`.

    Raises:
        DataValidationError: the folder holds a pipeline of other input or settings, or no document was read.
    """
    run_dir = request.run_dir
    if request.must_resume and not (run_dir / "steps").is_dir():
        raise DataValidationError(f"{run_dir} holds no pipeline to go on with", hint="run it without --resume")
    if request.documents is not None and not request.documents.exists():
        raise DataValidationError(f"no documents at {request.documents}", hint="check the path after --documents")
    locate_model(request.model)
    ensure_output_dir(run_dir)
    with run_lock(run_dir):
        remove_leftovers(run_dir)
        steps = Steps(run_dir / "steps", console, total=8 if request.documents is None else 7)
        if steps.check_identity(_identity(request)):
            console.info(f"going on with the pipeline in {run_dir}")
        return _run_steps(request, steps, console)


def _run_steps(request: PipelineRequest, steps: Steps, console: Console) -> dict[str, Any]:
    if request.documents is None:
        request = _with_samples(request, steps)
    run_dir, documents = request.run_dir, request.documents
    assert documents is not None  # _with_samples has filled it in
    extract = steps.run(
        "extract", f"reading the documents in {documents}", lambda: _extract(request, documents, console)
    )
    data = steps.run("split", "making training records and held-out questions", lambda: _split(request))
    train = steps.run("train", f"fine-tuning {request.model}", lambda: _train(request, data, console))
    base = steps.run("base", f"asking the base model {data['questions']} held-out questions", lambda: _evaluate(
        request, request.model, data, run_dir / "evaluation" / "base", console))  # fmt: skip
    tuned = steps.run("tuned", "asking the tuned model the same questions", lambda: _evaluate(
        request, str(run_dir / "train"), data, run_dir / "evaluation" / "tuned", console))  # fmt: skip
    exports = steps.run("export", "merging the adapter into its base", lambda: _merge(request, data))
    tuned_model = exports["merged"]
    replies = steps.run(
        "replies", "sample replies of the merged model", lambda: {"rows": _replies(request, tuned_model)}
    )["rows"]
    summary: dict[str, Any] = {
        "run_dir": str(run_dir),
        "extract": extract,
        "data": data,
        "train": train,
        "base": base,
        "tuned": tuned,
        "exports": exports,
        "replies": replies,
        "report": str(run_dir / "report.html"),
        "seconds": round(sum(steps.seconds.values()), 1),
    }
    _write_report(request, summary, steps.seconds)
    write_json_atomic(run_dir / "summary.json", summary)
    return summary


def _identity(request: PipelineRequest) -> dict[str, object]:
    files: list[Path] = [Path(name) for name in (*request.train_data, *filter(None, [request.eval_data]))]
    if request.documents is not None:
        found = sorted(request.documents.rglob("*")) if request.documents.is_dir() else [request.documents]
        files += [path for path in found if path.is_file()]
    return {
        "the input": {str(path): sha256_of(path) for path in files if path.is_file()},
        "document_processing": request.document_processing.model_dump(mode="json", exclude={"extraction"}),
        f"transfer_learning.{request.fine_tuning.method}": request.fine_tuning.settings.model_dump(mode="json"),
        "the method": request.fine_tuning.method,
        "evaluation": request.comparison.model_dump(mode="json"),
        "common.seed": request.fine_tuning.seed,
    }


def _with_samples(request: PipelineRequest, steps: Steps) -> PipelineRequest:
    folder = request.run_dir / "samples"

    def write() -> dict[str, Any]:
        from sample_world.samples import write_samples

        return {"files": len(write_samples(folder, overwrite=True))}

    steps.run("samples", "writing the sample documents and records", write)
    return replace(
        request,
        documents=folder / "documents",
        train_data=request.train_data or (str(folder / "train.jsonl"),),
        eval_data=request.eval_data or str(folder / "evaluation.jsonl"),
    )


def _extract(request: PipelineRequest, documents: Path, console: Console) -> dict[str, Any]:
    from workflows.extraction import extract_folder

    settings = request.document_processing
    lm_studio = settings.lm_studio.model_copy(update={"instruction_format": True})
    settings = settings.model_copy(update={"lm_studio": lm_studio})
    with console.progress(None, "extract") as progress:
        summary = extract_folder(
            documents,
            request.run_dir / "extract",
            settings,
            on_file=lambda result: progress.advance(1, result.path, failed=result.status == "failed"),
        ).as_dict()
    if not summary["documents"]:
        raise DataValidationError(f"no text was found in {documents}", hint="see extract/manifest.json for the reasons")
    return summary


def _split(request: PipelineRequest) -> dict[str, Any]:
    run_dir = request.run_dir
    data = write_pipeline_data(run_dir / "extract", run_dir / "data", request.train_data, request.eval_data)
    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(data).items()}


def _train(request: PipelineRequest, data: dict[str, Any], console: Console) -> dict[str, Any]:
    run_dir = request.run_dir / "train"
    started = (run_dir / "run.json").exists()
    training = replace(
        request.fine_tuning,
        run_dir=run_dir,
        # The questions of the final measurement take no part in training, not even in choosing the
        # best checkpoint: that is done on a share of the training records.
        train_data=(data["train"],),
        eval_data=None,
        resume="" if started else None,
    )
    return fine_tune(training, console)


def _evaluate(
    request: PipelineRequest, model_name: str, data: dict[str, Any], folder: Path, console: Console
) -> dict[str, Any]:
    from workflows.model_evaluation import measure_model

    fine_tuning = request.fine_tuning
    return measure_model(
        model_name,
        load_questions(Path(data["evaluation"])),
        request.comparison,
        folder,
        console,
        chat_template=fine_tuning.settings.training.chat_template,
        new_tokens=fine_tuning.settings.new_tokens,
        device=fine_tuning.device,
        seed=fine_tuning.seed,
        data_name=data["evaluation"],
    )


def _merge(request: PipelineRequest, data: dict[str, Any]) -> dict[str, Any]:
    from training_methods.transfer_learning.adapter_merging import merge_adapter

    if request.fine_tuning.method == "full":
        return {"merged": str(request.run_dir / "train"), "max_logit_difference": 0.0}  # it is a whole model already
    texts = [row["content"] for record in load_questions(Path(data["evaluation"]))[:4] for row in record["messages"]]
    report = merge_adapter(
        request.run_dir / "train", request.run_dir / "merged", device=request.fine_tuning.device, check_texts=texts
    )
    return {"merged": str(report.output_dir), "max_logit_difference": report.max_logit_difference}


def _replies(request: PipelineRequest, tuned_model: str) -> list[dict[str, object]]:
    """A few held-out questions, answered by the base and by the merged model as `chat` would."""
    from deployment.chat_interface import ChatInterface
    from evaluation.language_metrics import exact_match
    from evaluation.stored_results import read_evaluation

    base = read_evaluation(request.run_dir / "evaluation" / "base").predictions
    chat = ChatInterface(tuned_model, device=request.fine_tuning.device, max_new_tokens=REPLY_TOKENS)
    rows: list[dict[str, object]] = []
    for row in base[:: max(1, len(base) // REPLIES_SHOWN)][:REPLIES_SHOWN]:
        question = row["prompt"][-1]["content"]
        reply = chat.generate(question)
        rows.append(
            {
                "prompt": question,
                "reference": row["reference"],
                "base": row["prediction"],
                "tuned": reply,
                "base_is_right": bool(row["exact_match"]),
                "tuned_is_right": bool(exact_match(reply, row["reference"])),
            }
        )
    return rows


def _write_report(request: PipelineRequest, summary: dict[str, Any], seconds: dict[str, float]) -> None:
    from evaluation.report import NextStep, ReportData, SampleReply, write_report
    from evaluation.stored_results import compare_results, read_evaluation

    run_dir = request.run_dir
    base = read_evaluation(run_dir / "evaluation" / "base")
    tuned = read_evaluation(run_dir / "evaluation" / "tuned")
    manifest = json.loads((run_dir / "extract" / "manifest.json").read_text(encoding="utf-8"))
    metrics = TrainingLoggingUtils.read_metrics(run_dir / "train")
    data = summary["data"]
    settings = request.comparison
    merged = shlex.quote(summary["exports"]["merged"])
    write_report(
        run_dir / "report.html",
        ReportData(
            title=f"{request.model}, tuned on {request.documents}",
            documents=manifest["files"],
            records={
                "questions with answers": data["train_records"],
                "pieces of documents": data["chunk_records"],
                "held-out questions": data["questions"],
            },
            settings={key: value for key, value in _settings_shown(request).items()},
            training=summary["train"],
            metrics=metrics,
            base=base,
            tuned=tuned,
            differences=compare_results(
                base, tuned, settings.confidence, settings.bootstrap_resamples, request.fine_tuning.seed
            ),
            replies=[
                SampleReply(
                    question=row["prompt"],
                    reference=row["reference"],
                    base=row["base"],
                    tuned=row["tuned"],
                    base_is_right=row["base_is_right"],
                    tuned_is_right=row["tuned_is_right"],
                )
                for row in summary["replies"]
            ],
            exports=_models(request, summary),
            next_steps=[
                NextStep("Talk to the tuned model", f"python main.py chat {merged}"),
                NextStep(
                    "Do the same with your own documents",
                    "python main.py pipeline --documents YOUR_FOLDER --model Qwen/Qwen2.5-0.5B-Instruct "
                    "--output-dir outputs/mine",
                ),
            ],
            versions=tuned.versions,
            seconds_by_step=seconds,
        ),
    )


def _models(request: PipelineRequest, summary: dict[str, Any]) -> dict[str, str]:
    """What the report calls the models, and where each is."""
    if request.fine_tuning.method == "full":
        return {"tuned model": summary["exports"]["merged"]}
    return {"merged model": summary["exports"]["merged"], "adapter": str(request.run_dir / "train")}


def _settings_shown(request: PipelineRequest) -> dict[str, object]:
    settings = request.fine_tuning.settings.model_dump(mode="json")
    training, quantization = settings.pop("training"), settings.pop("quantization", {})
    return {**settings, **quantization, **training, "seed": request.fine_tuning.seed}
