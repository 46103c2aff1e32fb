// SPDX-License-Identifier: MIT
pragma solidity 0.8.27;

import "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

/// Stands in for a strategy of EigenLayer: shares of what it holds of one token.
contract Strategy {
    using SafeERC20 for IERC20;

    uint256 private constant SHARES_OFFSET = 1e3;
    uint256 private constant BALANCE_OFFSET = 1e3;

    StrategyManager public immutable strategyManager;
    IERC20 public immutable underlyingToken;
    uint256 public totalShares;

    error OnlyStrategyManager();
    error OnlyUnderlyingToken();
    error NewSharesZero();
    error WithdrawalAmountExceedsTotalDeposits();

    constructor(StrategyManager manager, IERC20 token) {
        strategyManager = manager;
        underlyingToken = token;
    }

    modifier onlyManager() {
        if (msg.sender != address(strategyManager)) revert OnlyStrategyManager();
        _;
    }

    function deposit(IERC20 token, uint256 amount) external onlyManager returns (uint256 newShares) {
        if (token != underlyingToken) revert OnlyUnderlyingToken();
        uint256 before = _balance() - amount;
        newShares = amount * (totalShares + SHARES_OFFSET) / (before + BALANCE_OFFSET);
        if (newShares == 0) revert NewSharesZero();
        totalShares += newShares;
    }

    function withdraw(address recipient, IERC20 token, uint256 shares_) external onlyManager {
        if (token != underlyingToken) revert OnlyUnderlyingToken();
        if (shares_ > totalShares) revert WithdrawalAmountExceedsTotalDeposits();
        uint256 amount = sharesToUnderlyingView(shares_);
        totalShares -= shares_;
        token.safeTransfer(recipient, amount);
    }

    function sharesToUnderlyingView(uint256 amountShares) public view returns (uint256) {
        return (_balance() + BALANCE_OFFSET) * amountShares / (totalShares + SHARES_OFFSET);
    }

    function underlyingToSharesView(uint256 amount) public view returns (uint256) {
        return amount * (totalShares + SHARES_OFFSET) / (_balance() + BALANCE_OFFSET);
    }

    function userUnderlyingView(address user) external view returns (uint256) {
        return sharesToUnderlyingView(shares(user));
    }

    function shares(address user) public view returns (uint256) {
        return strategyManager.stakerDepositShares(user, this);
    }

    function _balance() private view returns (uint256) {
        return underlyingToken.balanceOf(address(this));
    }
}

/// Stands in for EigenLayer's StrategyManager, under the names it has since slashing exists.
contract StrategyManager {
    using SafeERC20 for IERC20;

    address public immutable owner;
    DelegationManager public immutable delegation;
    bool public isPaused;
    mapping(address => mapping(Strategy => uint256)) public stakerDepositShares;
    mapping(Strategy => bool) public strategyIsWhitelistedForDeposit;
    mapping(address => Strategy[]) private _lists;

    error OnlyDelegationManager();
    error StrategyNotWhitelisted();
    error SharesAmountTooHigh();
    error CurrentlyPaused();

    event Deposit(address staker, Strategy strategy, uint256 shares);

    constructor(address owner_) {
        owner = owner_;
        delegation = DelegationManager(msg.sender);
    }

    modifier onlyDelegation() {
        if (msg.sender != address(delegation)) revert OnlyDelegationManager();
        _;
    }

    function whitelist(Strategy strategy) external {
        require(msg.sender == owner, "only the owner");
        strategyIsWhitelistedForDeposit[strategy] = true;
    }

    function setPaused(bool on) external {
        require(msg.sender == owner, "only the owner");
        isPaused = on;
    }

    function depositIntoStrategy(Strategy strategy, IERC20 token, uint256 amount)
        external
        returns (uint256 depositedShares)
    {
        if (isPaused) revert CurrentlyPaused();
        if (!strategyIsWhitelistedForDeposit[strategy]) revert StrategyNotWhitelisted();
        uint256 before = token.balanceOf(address(strategy));
        token.safeTransferFrom(msg.sender, address(strategy), amount);
        depositedShares = strategy.deposit(token, token.balanceOf(address(strategy)) - before);
        _add(msg.sender, strategy, depositedShares);
        delegation.increaseDelegatedShares(msg.sender, strategy, depositedShares);
        emit Deposit(msg.sender, strategy, depositedShares);
    }

    function removeDepositShares(address staker, Strategy strategy, uint256 amount) external onlyDelegation {
        if (stakerDepositShares[staker][strategy] < amount) revert SharesAmountTooHigh();
        stakerDepositShares[staker][strategy] -= amount;
    }

    function addShares(address staker, Strategy strategy, uint256 amount) external onlyDelegation {
        _add(staker, strategy, amount);
    }

    function withdrawSharesAsTokens(address staker, Strategy strategy, IERC20 token, uint256 amount)
        external
        onlyDelegation
    {
        strategy.withdraw(staker, token, amount);
    }

    function getDeposits(address staker) external view returns (Strategy[] memory, uint256[] memory amounts) {
        Strategy[] memory list = _lists[staker];
        amounts = new uint256[](list.length);
        for (uint256 i = 0; i < list.length; i++) amounts[i] = stakerDepositShares[staker][list[i]];
        return (list, amounts);
    }

    function _add(address staker, Strategy strategy, uint256 amount) private {
        Strategy[] storage list = _lists[staker];
        bool isKnown = false;
        for (uint256 i = 0; i < list.length; i++) isKnown = isKnown || list[i] == strategy;
        if (!isKnown) list.push(strategy);
        stakerDepositShares[staker][strategy] += amount;
    }
}

/// Stands in for EigenLayer's DelegationManager since slashing: withdrawals are found on chain, complete without an index,
/// and pay their shares scaled by what the operator's magnitude is by then (only the operator's own slashing is modelled).
contract DelegationManager {
    struct SignatureWithExpiry {
        bytes signature;
        uint256 expiry;
    }

    struct QueuedWithdrawalParams {
        Strategy[] strategies;
        uint256[] depositShares;
        address __deprecated_withdrawer;
    }

    struct Withdrawal {
        address staker;
        address delegatedTo;
        address withdrawer;
        uint256 nonce;
        uint32 startBlock;
        Strategy[] strategies;
        uint256[] scaledShares;
    }

    uint256 private constant WAD = 1e18;

    StrategyManager public immutable strategyManager;
    address public immutable owner;
    uint32 public immutable minWithdrawalDelayBlocks;
    bool public isPaused;
    mapping(address => address) public delegatedTo;
    mapping(address => bool) public isOperator;
    mapping(address => uint256) public cumulativeWithdrawalsQueued;
    mapping(address => mapping(Strategy => uint256)) public operatorShares;
    mapping(bytes32 => bool) public pendingWithdrawals;
    mapping(address => uint256) private _slashed;
    mapping(bytes32 => Withdrawal) private _withdrawals;
    mapping(address => bytes32[]) private _roots;

    error ActivelyDelegated();
    error NotActivelyDelegated();
    error OperatorNotRegistered();
    error OnlyStrategyManagerOrEigenPodManager();
    error InputArrayLengthZero();
    error InputArrayLengthMismatch();
    error WithdrawalNotQueued();
    error WithdrawalDelayNotElapsed();
    error WithdrawerNotCaller();
    error CallerCannotUndelegate();
    error CurrentlyPaused();

    event OperatorRegistered(address indexed operator, address delegationApprover);
    event OperatorMetadataURIUpdated(address indexed operator, string metadataURI);
    event OperatorSharesIncreased(address indexed operator, address staker, Strategy strategy, uint256 shares);
    event OperatorSharesDecreased(address indexed operator, address staker, Strategy strategy, uint256 shares);
    event StakerDelegated(address indexed staker, address indexed operator);
    event StakerUndelegated(address indexed staker, address indexed operator);
    event SlashingWithdrawalQueued(bytes32 withdrawalRoot, Withdrawal withdrawal, uint256[] sharesToWithdraw);
    event SlashingWithdrawalCompleted(bytes32 withdrawalRoot);

    constructor(uint32 delayBlocks) {
        owner = msg.sender;
        minWithdrawalDelayBlocks = delayBlocks;
        strategyManager = new StrategyManager(msg.sender);
    }

    modifier whenNotPaused() {
        if (isPaused) revert CurrentlyPaused();
        _;
    }

    function setPaused(bool on) external {
        require(msg.sender == owner, "only the owner");
        isPaused = on;
    }

    /// Slashes an operator: his stakers' shares are worth `wad` less (1e18 for all), also those queued already.
    function slash(address operator, uint256 wad) external {
        require(msg.sender == owner && wad <= WAD, "only the owner");
        _slashed[operator] = WAD - (WAD - _slashed[operator]) * (WAD - wad) / WAD;
    }

    function registerAsOperator(address initDelegationApprover, uint32, string calldata metadataURI) external {
        if (delegatedTo[msg.sender] != address(0)) revert ActivelyDelegated();
        isOperator[msg.sender] = true;
        emit OperatorRegistered(msg.sender, initDelegationApprover);
        _delegate(msg.sender, msg.sender);
        emit OperatorMetadataURIUpdated(msg.sender, metadataURI);
    }

    function delegateTo(address operator, SignatureWithExpiry calldata, bytes32) external whenNotPaused {
        if (delegatedTo[msg.sender] != address(0)) revert ActivelyDelegated();
        if (!isOperator[operator]) revert OperatorNotRegistered();
        _delegate(msg.sender, operator);
    }

    function undelegate(address staker) external whenNotPaused returns (bytes32[] memory roots) {
        if (delegatedTo[staker] == address(0)) revert NotActivelyDelegated();
        if (msg.sender != staker && msg.sender != delegatedTo[staker]) revert CallerCannotUndelegate();
        (Strategy[] memory strategies, uint256[] memory amounts) = strategyManager.getDeposits(staker);
        address operator = delegatedTo[staker];
        roots = new bytes32[](strategies.length);
        for (uint256 i = 0; i < strategies.length; i++) {
            Strategy[] memory one = new Strategy[](1);
            uint256[] memory amount = new uint256[](1);
            (one[0], amount[0]) = (strategies[i], amounts[i]);
            roots[i] = _queue(staker, one, amount);
        }
        delegatedTo[staker] = address(0);
        emit StakerUndelegated(staker, operator);
    }

    function queueWithdrawals(QueuedWithdrawalParams[] calldata params)
        external
        whenNotPaused
        returns (bytes32[] memory roots)
    {
        roots = new bytes32[](params.length);
        for (uint256 i = 0; i < params.length; i++) {
            if (params[i].strategies.length == 0) revert InputArrayLengthZero();
            if (params[i].strategies.length != params[i].depositShares.length) revert InputArrayLengthMismatch();
            roots[i] = _queue(msg.sender, params[i].strategies, params[i].depositShares);
        }
    }

    function completeQueuedWithdrawal(Withdrawal calldata withdrawal, IERC20[] calldata tokens, bool receiveAsTokens)
        external
        whenNotPaused
    {
        _complete(withdrawal, tokens, receiveAsTokens);
    }

    function completeQueuedWithdrawals(
        Withdrawal[] calldata withdrawals,
        IERC20[][] calldata tokens,
        bool[] calldata receiveAsTokens
    ) external whenNotPaused {
        for (uint256 i = 0; i < withdrawals.length; i++) _complete(withdrawals[i], tokens[i], receiveAsTokens[i]);
    }

    function increaseDelegatedShares(address staker, Strategy strategy, uint256 added) external {
        if (msg.sender != address(strategyManager)) revert OnlyStrategyManagerOrEigenPodManager();
        _increase(staker, strategy, added);
    }

    function isDelegated(address staker) external view returns (bool) {
        return delegatedTo[staker] != address(0);
    }

    function getWithdrawableShares(address staker, Strategy[] calldata strategies)
        external
        view
        returns (uint256[] memory withdrawableShares, uint256[] memory depositShares)
    {
        withdrawableShares = new uint256[](strategies.length);
        depositShares = new uint256[](strategies.length);
        for (uint256 i = 0; i < strategies.length; i++) {
            depositShares[i] = strategyManager.stakerDepositShares(staker, strategies[i]);
            withdrawableShares[i] = _afterSlashing(delegatedTo[staker], depositShares[i]);
        }
    }

    function getDepositedShares(address staker) external view returns (Strategy[] memory, uint256[] memory) {
        return strategyManager.getDeposits(staker);
    }

    function getQueuedWithdrawals(address staker)
        external
        view
        returns (Withdrawal[] memory withdrawals, uint256[][] memory shares)
    {
        bytes32[] memory roots = getQueuedWithdrawalRoots(staker);
        withdrawals = new Withdrawal[](roots.length);
        shares = new uint256[][](roots.length);
        for (uint256 i = 0; i < roots.length; i++) (withdrawals[i], shares[i]) = getQueuedWithdrawal(roots[i]);
    }

    function getQueuedWithdrawal(bytes32 root)
        public
        view
        returns (Withdrawal memory withdrawal, uint256[] memory shares)
    {
        withdrawal = _withdrawals[root];
        shares = new uint256[](withdrawal.scaledShares.length);
        for (uint256 i = 0; i < shares.length; i++) {
            shares[i] = _afterSlashing(withdrawal.delegatedTo, withdrawal.scaledShares[i]);
        }
    }

    function getQueuedWithdrawalRoots(address staker) public view returns (bytes32[] memory roots) {
        bytes32[] memory all = _roots[staker];
        uint256 open = 0;
        for (uint256 i = 0; i < all.length; i++) if (pendingWithdrawals[all[i]]) open++;
        roots = new bytes32[](open);
        for (uint256 i = all.length; i > 0; i--) if (pendingWithdrawals[all[i - 1]]) roots[--open] = all[i - 1];
    }

    function calculateWithdrawalRoot(Withdrawal memory withdrawal) public pure returns (bytes32) {
        return keccak256(abi.encode(withdrawal));
    }

    function _delegate(address staker, address operator) private {
        delegatedTo[staker] = operator;
        emit StakerDelegated(staker, operator);
        (Strategy[] memory strategies, uint256[] memory amounts) = strategyManager.getDeposits(staker);
        for (uint256 i = 0; i < strategies.length; i++) _increase(staker, strategies[i], amounts[i]);
    }

    function _increase(address staker, Strategy strategy, uint256 added) private {
        address operator = delegatedTo[staker];
        if (operator == address(0)) return;
        operatorShares[operator][strategy] += added;
        emit OperatorSharesIncreased(operator, staker, strategy, added);
    }

    function _queue(address staker, Strategy[] memory strategies, uint256[] memory amounts)
        private
        returns (bytes32 root)
    {
        address operator = delegatedTo[staker];
        for (uint256 i = 0; i < strategies.length; i++) {
            strategyManager.removeDepositShares(staker, strategies[i], amounts[i]);
            if (operator == address(0)) continue;
            operatorShares[operator][strategies[i]] -= amounts[i];
            emit OperatorSharesDecreased(operator, staker, strategies[i], amounts[i]);
        }
        Withdrawal memory withdrawal = Withdrawal({
            staker: staker,
            delegatedTo: operator,
            withdrawer: staker,
            nonce: cumulativeWithdrawalsQueued[staker]++,
            startBlock: uint32(block.number),
            strategies: strategies,
            scaledShares: amounts
        });
        root = calculateWithdrawalRoot(withdrawal);
        pendingWithdrawals[root] = true;
        _withdrawals[root] = withdrawal;
        _roots[staker].push(root);
        emit SlashingWithdrawalQueued(root, withdrawal, amounts);
    }

    function _complete(Withdrawal calldata withdrawal, IERC20[] calldata tokens, bool asTokens) private {
        bytes32 root = calculateWithdrawalRoot(withdrawal);
        if (tokens.length != withdrawal.strategies.length) revert InputArrayLengthMismatch();
        if (msg.sender != withdrawal.withdrawer) revert WithdrawerNotCaller();
        if (!pendingWithdrawals[root]) revert WithdrawalNotQueued();
        if (block.number <= withdrawal.startBlock + minWithdrawalDelayBlocks) revert WithdrawalDelayNotElapsed();
        pendingWithdrawals[root] = false;
        for (uint256 i = 0; i < tokens.length; i++) {
            Strategy strategy = withdrawal.strategies[i];
            uint256 left = _afterSlashing(withdrawal.delegatedTo, withdrawal.scaledShares[i]);
            if (asTokens) {
                strategyManager.withdrawSharesAsTokens(msg.sender, strategy, tokens[i], left);
            } else {
                strategyManager.addShares(msg.sender, strategy, left);
                _increase(msg.sender, strategy, left);
            }
        }
        emit SlashingWithdrawalCompleted(root);
    }

    function _afterSlashing(address operator, uint256 amount) private view returns (uint256) {
        return amount * (WAD - _slashed[operator]) / WAD;
    }
}

/// Stands in for EigenLayer's RewardsCoordinator: roots are posted, claims prove their leaf and take what is new.
contract RewardsCoordinator {
    using SafeERC20 for IERC20;

    struct EarnerTreeMerkleLeaf {
        address earner;
        bytes32 earnerTokenRoot;
    }

    struct TokenTreeMerkleLeaf {
        IERC20 token;
        uint256 cumulativeEarnings;
    }

    struct RewardsMerkleClaim {
        uint32 rootIndex;
        uint32 earnerIndex;
        bytes earnerTreeProof;
        EarnerTreeMerkleLeaf earnerLeaf;
        uint32[] tokenIndices;
        bytes[] tokenTreeProofs;
        TokenTreeMerkleLeaf[] tokenLeaves;
    }

    struct DistributionRoot {
        bytes32 root;
        uint32 rewardsCalculationEndTimestamp;
        uint32 activatedAt;
        bool disabled;
    }

    StrategyManager public immutable strategyManager;
    address public immutable rewardsUpdater;
    uint32 public immutable activationDelay;
    uint32 public currRewardsCalculationEndTimestamp;
    DistributionRoot[] private _roots;
    mapping(address => address) public claimerFor;
    mapping(address => mapping(IERC20 => uint256)) public cumulativeClaimed;

    error UnauthorizedCaller();
    error NewRootMustBeForNewCalculatedPeriod();
    error InvalidRootIndex();
    error RootDisabled();
    error RootNotActivated();
    error InvalidClaimProof();
    error InputArrayLengthMismatch();
    error EarningsNotGreaterThanClaimed();

    event DistributionRootSubmitted(
        uint32 indexed rootIndex, bytes32 indexed root, uint32 indexed rewardsCalculationEndTimestamp, uint32 activatedAt
    );
    event ClaimerForSet(address indexed earner, address indexed oldClaimer, address indexed claimer);
    event RewardsClaimed(
        bytes32 root,
        address indexed earner,
        address indexed claimer,
        address indexed recipient,
        IERC20 token,
        uint256 claimedAmount
    );

    constructor(StrategyManager manager, uint32 activationDelay_) {
        strategyManager = manager;
        rewardsUpdater = msg.sender;
        activationDelay = activationDelay_;
    }

    function submitRoot(bytes32 root, uint32 rewardsCalculationEndTimestamp) external {
        if (msg.sender != rewardsUpdater) revert UnauthorizedCaller();
        if (rewardsCalculationEndTimestamp <= currRewardsCalculationEndTimestamp) {
            revert NewRootMustBeForNewCalculatedPeriod();
        }
        currRewardsCalculationEndTimestamp = rewardsCalculationEndTimestamp;
        uint32 activatedAt = uint32(block.timestamp) + activationDelay;
        _roots.push(DistributionRoot(root, rewardsCalculationEndTimestamp, activatedAt, false));
        emit DistributionRootSubmitted(uint32(_roots.length - 1), root, rewardsCalculationEndTimestamp, activatedAt);
    }

    function setClaimerFor(address claimer) external {
        emit ClaimerForSet(msg.sender, claimerFor[msg.sender], claimer);
        claimerFor[msg.sender] = claimer;
    }

    function processClaim(RewardsMerkleClaim calldata claim, address recipient) external {
        DistributionRoot memory root = getDistributionRootAtIndex(claim.rootIndex);
        _requireValid(claim, root);
        address earner = claim.earnerLeaf.earner;
        address claimer = claimerFor[earner] == address(0) ? earner : claimerFor[earner];
        if (msg.sender != claimer) revert UnauthorizedCaller();
        for (uint256 i = 0; i < claim.tokenLeaves.length; i++) {
            TokenTreeMerkleLeaf calldata leaf = claim.tokenLeaves[i];
            uint256 before = cumulativeClaimed[earner][leaf.token];
            if (leaf.cumulativeEarnings <= before) revert EarningsNotGreaterThanClaimed();
            cumulativeClaimed[earner][leaf.token] = leaf.cumulativeEarnings;
            leaf.token.safeTransfer(recipient, leaf.cumulativeEarnings - before);
            emit RewardsClaimed(root.root, earner, claimer, recipient, leaf.token, leaf.cumulativeEarnings - before);
        }
    }

    function checkClaim(RewardsMerkleClaim calldata claim) external view returns (bool) {
        _requireValid(claim, getDistributionRootAtIndex(claim.rootIndex));
        return true;
    }

    function getDistributionRootsLength() external view returns (uint256) {
        return _roots.length;
    }

    function getDistributionRootAtIndex(uint256 index) public view returns (DistributionRoot memory) {
        if (index >= _roots.length) revert InvalidRootIndex();
        return _roots[index];
    }

    function getCurrentDistributionRoot() external view returns (DistributionRoot memory) {
        return _roots[_roots.length - 1];
    }

    function calculateEarnerLeafHash(EarnerTreeMerkleLeaf calldata leaf) public pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(0), leaf.earner, leaf.earnerTokenRoot));
    }

    function calculateTokenLeafHash(TokenTreeMerkleLeaf calldata leaf) public pure returns (bytes32) {
        return keccak256(abi.encodePacked(uint8(1), leaf.token, leaf.cumulativeEarnings));
    }

    function _requireValid(RewardsMerkleClaim calldata claim, DistributionRoot memory root) private view {
        if (root.disabled) revert RootDisabled();
        if (block.timestamp < root.activatedAt) revert RootNotActivated();
        uint256 count = claim.tokenLeaves.length;
        if (claim.tokenIndices.length != count || claim.tokenTreeProofs.length != count) {
            revert InputArrayLengthMismatch();
        }
        bytes32 earner = calculateEarnerLeafHash(claim.earnerLeaf);
        if (_rootOf(earner, claim.earnerIndex, claim.earnerTreeProof) != root.root) revert InvalidClaimProof();
        for (uint256 i = 0; i < count; i++) {
            bytes32 token = calculateTokenLeafHash(claim.tokenLeaves[i]);
            bytes32 found = _rootOf(token, claim.tokenIndices[i], claim.tokenTreeProofs[i]);
            if (found != claim.earnerLeaf.earnerTokenRoot) revert InvalidClaimProof();
        }
    }

    /// The root that a leaf at an index leads to with its siblings from the bottom up, 32 bytes each.
    function _rootOf(bytes32 leaf, uint256 index, bytes calldata proof) private pure returns (bytes32 node) {
        if (proof.length % 32 != 0 || index >= 1 << (proof.length / 32)) revert InvalidClaimProof();
        node = leaf;
        for (uint256 at = 0; at < proof.length; at += 32) {
            bytes32 sibling = bytes32(proof[at:at + 32]);
            node = index % 2 == 0 ? keccak256(abi.encodePacked(node, sibling)) : keccak256(abi.encodePacked(sibling, node));
            index /= 2;
        }
    }
}
