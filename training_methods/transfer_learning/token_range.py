"""Whether a model has an embedding for every token of its records."""

from __future__ import annotations

from transformers import PreTrainedModel

from shared_utils.errors import DataValidationError
from training_methods.transfer_learning.dataset import EncodedDataset
from training_methods.transfer_learning.encoded_rows import EncodedRows


def check_token_ids(model: PreTrainedModel, dataset: EncodedDataset | None, name: str) -> None:
    """Refuse records with tokens that the model does not know: its tokenizer is another model's, or has grown.

    On a processor such an id ends training in its middle, on a GPU it spoils the whole process.

    Raises:
        DataValidationError: names the largest id and the number of embeddings.
    """
    if dataset is None:
        return
    rows = dataset.rows
    largest = rows.largest_id if isinstance(rows, EncodedRows) else max(max(row.input_ids) for row in rows)
    embeddings = int(model.get_input_embeddings().weight.shape[0])
    if largest >= embeddings:
        raise DataValidationError(
            f"the tokenizer of {name} gives the token {largest}, but the model has only {embeddings} embeddings",
            hint="tokenizer and weights belong to different models, or tokens were added to the tokenizer alone",
        )
