"""What evaluating is compared with, each in an interpreter of its own: programs for `timing.Peer`.

Each takes lines of JSON on stdin and prints `ANSWER ` and JSON for each.
"""

from __future__ import annotations

PANOPTICA = '''
"""Panoptica on unmatched instances; a question is {pred, ref, spacing, metrics}, files as .npy."""
import json, math, os, sys, time
from importlib.metadata import version
os.environ["PANOPTICA_CITATION_REMINDER"] = "false"
import numpy as np
from panoptica import InputType, Metric, NaiveThresholdMatching, Panoptica_Evaluator
from panoptica.metrics import MetricMode

def finite(value):
    return None if value is None or math.isnan(value) else float(value)

def attempt(read):
    try:
        return finite(read())
    except Exception as error:
        return str(type(error).__name__)

for line in sys.stdin:
    asked = json.loads(line)
    pred, ref = np.load(asked["pred"]), np.load(asked["ref"])
    metrics = [Metric[name] for name in asked["metrics"]]
    evaluator = Panoptica_Evaluator(
        expected_input=InputType.UNMATCHED_INSTANCE,
        instance_matcher=NaiveThresholdMatching(matching_metric=Metric.IOU, matching_threshold=0.5),
        instance_metrics=metrics,
        global_metrics=[],
    )
    began, busy = time.perf_counter(), time.process_time()
    result = evaluator.evaluate(pred, ref, voxelspacing=tuple(asked["spacing"]))["ungrouped"]
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    answer = {"seconds": seconds, "busy": busy, "version": version("panoptica")}
    for name in ("tp", "fp", "fn", "sq", "rq", "pq", "sq_dsc", "sq_assd"):
        answer[name] = attempt(lambda: getattr(result, name))
    for metric in metrics:
        try:
            values = result.get_list_metric(metric, MetricMode.ALL)
            answer["list_" + metric.name] = sorted(float(value) for value in values)
        except Exception as error:
            answer["list_" + metric.name] = type(error).__name__
    print("ANSWER " + json.dumps(answer), flush=True)
'''
"""A question names two label maps (.npy), spacing and metrics; the answer holds all of them."""

SURFACE_DISTANCE = '''
"""surface-distance on two masks; a question is {pred, ref, spacing, tolerance}, files as .npy."""
import json, sys
from importlib.metadata import version
import numpy as np
import surface_distance as peer

for line in sys.stdin:
    asked = json.loads(line)
    pred, ref = np.load(asked["pred"]) > 0, np.load(asked["ref"]) > 0
    found = peer.compute_surface_distances(ref, pred, asked["spacing"])
    to_pred, to_ref = peer.compute_average_surface_distance(found)
    answer = {
        "average, ref to pred": to_pred,
        "average, pred to ref": to_ref,
        "HD": peer.compute_robust_hausdorff(found, 100),
        "HD95": peer.compute_robust_hausdorff(found, 95),
        "surface Dice": peer.compute_surface_dice_at_tolerance(found, asked["tolerance"]),
    }
    answer = {name: float(value) for name, value in answer.items()}
    print("ANSWER " + json.dumps({**answer, "version": version("surface-distance")}), flush=True)
'''
"""A question names two masks (.npy), spacing and tolerance; distances in both directions."""
