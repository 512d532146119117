"""The baseline: TF-IDF of words, word pairs and pieces of words, with logistic regression, kept without pickle."""

from __future__ import annotations

import lzma
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lmrl_envs.reddit.words import plain

_ANALYSERS: dict[str, dict[str, Any]] = {
    "words": {"analyzer": "word", "ngram_range": (1, 2)},
    "pieces": {"analyzer": "char_wb", "ngram_range": (2, 4)},
    "parent": {"analyzer": "word", "ngram_range": (1, 1)},
}
_COMMON = {"sublinear_tf": True, "lowercase": True, "dtype": np.float32}
_MAX_CHARS = 16_384


class LinearScorer:
    """scikit-learn's vectorisers and a matrix of coefficients: texts to probabilities.

    Args:
        vocabularies: for "words" and "pieces" of the comment, and "parent" where words of the parent are read: terms in
            the order of their columns.
        idf: for each, (terms,) weights.
        coefficients: (K, all terms), or (1, all terms) where K is 2.
        intercept: (K,) or (1,).
        temperature: what logits are divided by.
    """

    def __init__(
        self,
        vocabularies: Mapping[str, Sequence[str]],
        idf: Mapping[str, np.ndarray],
        coefficients: np.ndarray,
        intercept: np.ndarray,
        *,
        temperature: float = 1.0,
    ) -> None:
        self.vocabularies = {name: list(terms) for name, terms in vocabularies.items()}
        self.idf, self.coefficients, self.intercept = dict(idf), coefficients, intercept
        self.temperature = temperature
        self._vectorisers = {name: _vectoriser(name, terms, idf[name]) for name, terms in self.vocabularies.items()}

    @classmethod
    def fit(
        cls,
        parents: Sequence[str],
        comments: Sequence[str],
        labels: np.ndarray,
        *,
        read_parents: bool = False,
        terms: int = 20_000,
        strength: float = 4.0,
    ) -> LinearScorer:
        """Fits it to (N,) labels 0..K-1.

        Args:
            read_parents: whether the words of the parent count.
            terms: the most that each analyser keeps.
            strength: scikit-learn's `C`, the larger the less regularised.
        """
        from scipy.sparse import hstack  # noqa: PLC0415 - with scikit-learn over a second; the task may never need it
        from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

        vectorisers = {
            name: TfidfVectorizer(**analyser, **_COMMON, min_df=2, max_features=terms)
            for name, analyser in _ANALYSERS.items()
            if name != "parent" or read_parents
        }
        texts = _by_analyser(parents, comments, vectorisers)
        matrix = hstack([vectoriser.fit_transform(texts[name]) for name, vectoriser in vectorisers.items()]).tocsr()
        model = LogisticRegression(C=strength, max_iter=300).fit(matrix, labels)
        return cls(
            {name: list(vectoriser.get_feature_names_out()) for name, vectoriser in vectorisers.items()},
            {name: vectoriser.idf_ for name, vectoriser in vectorisers.items()},
            model.coef_,
            model.intercept_,
        )

    @classmethod
    def from_tensors(
        cls, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray], *, device: str = "cpu"
    ) -> LinearScorer:
        """Makes it from what `tensors` and `config` gave; it runs on the CPU wherever it is told to."""
        names = [name for name in _ANALYSERS if f"{name}.terms" in tensors]
        terms = {name: lzma.decompress(tensors[f"{name}.terms"].tobytes()).decode().split("\n") for name in names}
        idf = {name: tensors[f"{name}.idf"] for name in names}
        coefficients = tensors["coefficients"].astype(np.float64)
        return cls(terms, idf, coefficients, tensors["intercept"].astype(np.float64), **config)

    def config(self) -> dict[str, Any]:
        return {"temperature": self.temperature}

    def tensors(self) -> dict[str, np.ndarray]:
        """Numbers in half precision, terms as the compressed bytes of their lines."""
        arrays: dict[str, np.ndarray] = {
            "coefficients": self.coefficients.astype(np.float16),
            "intercept": self.intercept.astype(np.float32),
        }
        for name, terms in self.vocabularies.items():
            arrays[f"{name}.terms"] = np.frombuffer(lzma.compress("\n".join(terms).encode(), preset=9), np.uint8)
            arrays[f"{name}.idf"] = self.idf[name].astype(np.float16)
        return arrays

    def score(self, parents: Sequence[str], comments: Sequence[str]) -> np.ndarray:
        """(N, K) float64."""
        from scipy.special import softmax  # noqa: PLC0415 - see fit

        return softmax(self.logits(parents, comments) / self.temperature, axis=1)

    def logits(self, parents: Sequence[str], comments: Sequence[str]) -> np.ndarray:
        """(N, K) float64, before the temperature; those of two levels are 0 and the log odds."""
        from scipy.sparse import hstack  # noqa: PLC0415 - see fit

        if len(comments) == 0:  # an array of texts is taken, too
            return np.empty((0, max(len(self.intercept), 2)))
        texts = _by_analyser(parents, comments, self._vectorisers)
        matrix = hstack([vectoriser.transform(texts[name]) for name, vectoriser in self._vectorisers.items()]).tocsr()
        logits = np.asarray(matrix @ self.coefficients.T) + self.intercept
        return np.concatenate([np.zeros_like(logits), logits], axis=1) if logits.shape[1] == 1 else logits


def _vectoriser(name: str, terms: Sequence[str], idf: np.ndarray) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 - see LinearScorer.fit

    vectoriser = TfidfVectorizer(**_ANALYSERS[name], **_COMMON, vocabulary={term: i for i, term in enumerate(terms)})
    vectoriser.idf_ = idf.astype(np.float32)
    return vectoriser


def _by_analyser(parents: Sequence[str], comments: Sequence[str], names: Iterable[str]) -> dict[str, list[str]]:
    """The texts that each analyser reads."""
    texts = {"comment": [plain(comment[:_MAX_CHARS]) for comment in comments]}
    if "parent" in names:
        texts["parent"] = [plain(parent[:_MAX_CHARS]) for parent in parents]
    return {name: texts["parent" if name == "parent" else "comment"] for name in names}
