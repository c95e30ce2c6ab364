"""Kubernetes: one Job in the work-queue pattern, with a pod for each worker."""

from __future__ import annotations

import json
import secrets

from lrsearch.clusters.tasks import Submitted, WorkerTasks, run_client
from lrsearch.errors import InvalidValue
from lrsearch.values import Json

SECRET = "lrsearch"  # noqa: S105 - the name of a Kubernetes secret, not a secret
CLAIM = "lrsearch-checkpoints"
_GRACE_SECONDS = 30  # from SIGTERM to SIGKILL; lrsearch takes 10 at most

# `completions` is left out: the Job is done when one pod has ended well and all have
# left. A pod ends well when the study is done. Values are JSON, which YAML contains.
_MANIFEST = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: {name}
  labels: {labels}
  annotations: {annotations}
spec:
  parallelism: {workers}
  backoffLimit: {retries}
  podFailurePolicy:
    rules:
      - action: Ignore # a node that is drained, a pod that is preempted: no failure of ours
        onPodConditions:
          - type: DisruptionTarget
            status: "True"
      - action: FailJob # 2: a wrong argument, 4: the study refuses; no other pod would do better
        onExitCodes:
          containerName: worker
          operator: In
          values: [2, 4]
  template:
    metadata:
      labels: {labels}
    spec:
      restartPolicy: Never
      shareProcessNamespace: true # lrsearch is not process 1, and what a study leaves is reaped
      terminationGracePeriodSeconds: {grace}
      containers:
        - name: worker
          image: {image}
          command: {command}
          envFrom: # LRSEARCH_STORAGE, and tokens that the study's own code reads
            - secretRef:
                name: {secret}
          resources: {resources}
"""
_MOUNT = """\
          volumeMounts:
            - name: checkpoints
              mountPath: {folder}
      volumes:
        - name: checkpoints
          persistentVolumeClaim:
            claimName: {claim}
"""


def describe(tasks: WorkerTasks) -> str:
    """The manifest of the Job; `kubectl create -f -` takes it unchanged. Raises InvalidValue."""
    if tasks.image is None:
        fix = "Build one from the Dockerfile, with the study file in it."
        raise InvalidValue("--image", got=None, allowed="given for Kubernetes", fix=fix)
    text = _MANIFEST.format(
        name=f"{tasks.slug}-{secrets.token_hex(3)}",  # one study may have several Jobs
        labels=json.dumps({"app": "lrsearch", "lrsearch/study": tasks.slug}),
        annotations=json.dumps({"lrsearch/study": tasks.study}),
        workers=tasks.workers,
        retries=max(6, tasks.workers),  # the database may be away from all pods at once
        grace=_GRACE_SECONDS,
        image=json.dumps(tasks.image),
        command=json.dumps(["lrsearch", *tasks.arguments("done")]),
        secret=SECRET,
        resources=json.dumps(_resources(tasks)),
    )
    if tasks.checkpoints is None:
        return text
    return text + _MOUNT.format(folder=json.dumps(tasks.checkpoints), claim=CLAIM)


def _resources(tasks: WorkerTasks) -> dict[str, Json]:
    """Cores are limited where they train; a GPU's worker may use those that are free."""
    cores = {"cpu": str(tasks.threads or 1)}
    return {
        "requests": cores,
        "limits": {"nvidia.com/gpu": "1"} if tasks.gpu else cores,
    }


def submit(tasks: WorkerTasks) -> Submitted:
    """Create the Job. Raises InvalidValue and EnvironmentProblem."""
    command = ("kubectl", "create", "-f", "-", "-o", "name", *tasks.flags)
    job = run_client(command, describe(tasks))
    text = f"created {job}; kubectl get {job} shows it, kubectl delete {job} ends it"
    return Submitted(job=job, text=text)
