/** A pod of an application as charts write it. */
import type { JsonObject } from '../../../api/types.ts';

export const LABELS = { 'app.kubernetes.io/name': 'db', 'app.kubernetes.io/managed-by': 'Helm' };

export const podTemplate = (image: string, more: JsonObject = {}): JsonObject => ({
  metadata: { labels: LABELS, annotations: { 'checksum/config': image } },
  spec: {
    serviceAccountName: 'default',
    securityContext: { fsGroup: 1001, seccompProfile: { type: 'RuntimeDefault' } },
    initContainers: [
      {
        name: 'prepare',
        image: 'tools:1',
        command: ['sh', '-c', 'true'],
        volumeMounts: [{ name: 'data', mountPath: '/d' }],
      },
      {
        name: 'exporter',
        image: 'exporter:2',
        restartPolicy: 'Always',
        ports: [{ name: 'metrics', containerPort: 9187 }],
      },
    ],
    containers: [
      {
        name: 'main',
        image,
        env: [
          { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'db', key: 'password' } } },
          { name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
        ],
        ports: [{ name: 'tcp', containerPort: 5432 }],
        readinessProbe: { tcpSocket: { port: 'tcp' }, periodSeconds: 5 },
        resources: { requests: { cpu: '0.25', memory: '256Mi' }, limits: { memory: '0.5Gi' } },
        volumeMounts: [{ name: 'data', mountPath: '/var/lib/db' }],
      },
    ],
    volumes: [
      { name: 'data', emptyDir: { sizeLimit: '1Gi' } },
      { name: 'tmp', projected: { sources: [{ configMap: { name: 'c', optional: true } }] } },
    ],
    ...more,
  },
});
