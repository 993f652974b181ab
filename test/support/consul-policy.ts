import { expect } from 'vitest';
import { eventually } from './eventually.ts';
import type { World } from './world.ts';

export interface Token {
  readonly accessor: string;
  readonly secret: string;
}

/** The one ACL policy of a world whose own token manages Consul, and tokens that have it. */
export class ConsulPolicy {
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** Makes the policy and a token of it. */
  async token(rules: readonly string[]): Promise<Token> {
    await this.#world.consul.put('/v1/acl/policy', this.#of(rules));
    return this.anotherToken();
  }

  async anotherToken(): Promise<Token> {
    const { consul, namespace: Name } = this.#world;
    const made = await consul.put('/v1/acl/token', { Policies: [{ Name }] });
    const { AccessorID: accessor, SecretID: secret } = made as { AccessorID: string; SecretID: string };
    return { accessor, secret };
  }

  /** Changes what every token of it may do; resolves when Consul acts on it. */
  async setRights(rules: readonly string[]): Promise<void> {
    const { consul, namespace } = this.#world;
    const { ID } = (await consul.get(`/v1/acl/policy/name/${namespace}`)) as { ID: string };
    await consul.put(`/v1/acl/policy/${ID}`, { ID, ...this.#of(rules) });
    await eventually(
      async () => {
        const policy = await consul.get(`/v1/acl/policy/${ID}`);
        expect((policy as { Rules: string }).Rules).toBe(rules.join('\n'));
      },
      { what: 'the policy is in force' },
    );
  }

  #of(rules: readonly string[]) {
    return { Name: this.#world.namespace, Rules: rules.join('\n') };
  }
}
